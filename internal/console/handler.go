package console

import (
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func (c *Console) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(c.cfg.Gatherer, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError, // one broken collector must not hide the others
		MaxRequestsInFlight: 4,
	}))
	mux.HandleFunc("GET /healthz", c.alive)
	mux.HandleFunc("GET /readyz", c.ready)

	if c.cfg.Reload != nil {
		mux.Handle("POST /api/reload-table", controlled(reloadTable(c.cfg.Reload)))
	}

	profiles := http.NewServeMux()
	profiles.HandleFunc("/debug/pprof/", pprof.Index)
	profiles.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	profiles.HandleFunc("/debug/pprof/profile", pprof.Profile)
	profiles.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	profiles.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.Handle("/debug/pprof/", fromThisMachine(profiles))
	return mux
}

// alive is 200 as long as the process answers and nothing in it is stuck. An outage of something outside, and waiting, are
// no reason to end a process.
func (c *Console) alive(w http.ResponseWriter, _ *http.Request) {
	if c.cfg.Stuck != nil {
		if what := c.cfg.Stuck(); len(what) > 0 {
			http.Error(w, strings.Join(what, "\n"), http.StatusServiceUnavailable)
			return
		}
	}
	fmt.Fprintln(w, "ok")
}

// ready is 200 when every check holds, and says each check's state.
func (c *Console) ready(w http.ResponseWriter, _ *http.Request) {
	status := http.StatusOK
	var body strings.Builder
	for _, check := range c.cfg.Ready {
		state := "ok"
		if !check.Ready() {
			state, status = "not ready", http.StatusServiceUnavailable
		}
		fmt.Fprintf(&body, "%s: %s\n", check.Name, state)
	}
	w.WriteHeader(status)
	fmt.Fprint(w, body.String())
}

// fromThisMachine refuses clients from elsewhere: a profile shows the command line and costs a processor, and a control
// call changes what is replicated. A request
// that names a foreign host comes from a web page that had its name resolved to this machine.
func fromThisMachine(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLoopback(r.RemoteAddr) || !isLoopback(r.Host) {
			http.Error(w, "this is for clients on this machine, by its address", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}
