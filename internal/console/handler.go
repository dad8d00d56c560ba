package console

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/binlogstreamer/binlogstreamer/internal/status"
)

func (c *Console) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(c.cfg.Gatherer, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError, // one broken collector must not hide the others
		MaxRequestsInFlight: 4,
	}))
	mux.HandleFunc("GET /healthz", c.alive)
	mux.HandleFunc("GET /readyz", c.ready)

	g := c.guard
	if c.cfg.Report != nil {
		mux.Handle("GET /{$}", g.read(http.HandlerFunc(c.page)))
		mux.Handle("GET /static/{file}", g.read(http.HandlerFunc(static)))
		mux.Handle("GET /api/status", g.read(http.HandlerFunc(c.status)))
		mux.Handle("GET /api/history", g.read(http.HandlerFunc(c.history)))
	}
	if c.cfg.Reload != nil {
		mux.Handle("POST /api/reload-table", g.control(reloadTable(c.cfg.Reload)))
	}
	if len(c.cfg.Halves) > 0 {
		mux.Handle("POST /api/pause", g.control(turn(c.cfg.Halves, true)))
		mux.Handle("POST /api/resume", g.control(turn(c.cfg.Halves, false)))
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

func (c *Console) status(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, c.cfg.Report())
}

func (c *Console) history(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, historyAnswer{StepSeconds: status.Step.Seconds(), Points: c.cfg.History()})
}

// historyAnswer is the body of GET /api/history.
type historyAnswer struct {
	StepSeconds float64        `json:"step_seconds"`
	Points      []status.Point `json:"points"` // oldest first
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
	code := http.StatusOK
	var body strings.Builder
	for _, check := range c.cfg.Ready {
		state := "ok"
		if !check.Ready() {
			state, code = "not ready", http.StatusServiceUnavailable
		}
		fmt.Fprintf(&body, "%s: %s\n", check.Name, state)
	}
	w.WriteHeader(code)
	fmt.Fprint(w, body.String())
}
