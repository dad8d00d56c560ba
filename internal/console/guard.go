package console

import (
	"crypto/sha256"
	"crypto/subtle"
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"
)

// guard decides who may read the status and who may change something.
//
// A browser on the operator's machine is the way in that must be shut: any web page can make it send requests here. Three
// things keep such pages out. The Host must be an address, localhost, or a name that was configured, so that a page whose
// name was resolved to this server gets nothing. Control calls from another origin are refused by what browsers say
// of themselves (http.CrossOriginProtection), and must be application/json, which a page may not send elsewhere unasked. And
// there are no cookies: where a token is set, the caller shows it itself.
type guard struct {
	token func() string // "": only this machine has control
	hosts []string      // names that the server is reached by
	cross *http.CrossOriginProtection
}

func newGuard(token func() string, hosts []string) *guard {
	if token == nil {
		token = func() string { return "" }
	}
	return &guard{token: token, hosts: hosts, cross: http.NewCrossOriginProtection()}
}

// read guards what is only shown.
func (g *guard) read(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		if !g.knows(r.Host) {
			reply(w, http.StatusForbidden, answer{Error: "this server is not known by that name: ask it by its address or as localhost, or add the name to http.allowed_hosts"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// control guards what changes something.
func (g *guard) control(next http.Handler) http.Handler {
	return g.read(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.cross.Check(r) != nil {
			reply(w, http.StatusForbidden, answer{Error: "a page of another site may not do this"})
			return
		}
		if status, why := g.admits(r); status != http.StatusOK {
			if status == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", `Bearer realm="binlogstreamer"`)
			}
			reply(w, status, answer{Error: why})
			return
		}
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			reply(w, http.StatusUnsupportedMediaType, answer{Error: "send Content-Type: application/json"})
			return
		}
		next.ServeHTTP(w, r)
	}))
}

// knows says whether a Host header names this server. An address cannot be another site's name.
func (g *guard) knows(host string) bool {
	name := strings.ToLower(strings.TrimSuffix(hostname(host), "."))
	return name == "localhost" || net.ParseIP(name) != nil || slices.Contains(g.hosts, name)
}

// admits says whether a client may change something.
func (g *guard) admits(r *http.Request) (status int, why string) {
	token := g.token()
	switch {
	case token != "" && matches(r.Header.Get("Authorization"), token):
		return http.StatusOK, ""
	case token != "":
		return http.StatusUnauthorized, "this needs the token of http.token, as Authorization: Bearer TOKEN"
	case g.mayAsk(r):
		return http.StatusOK, ""
	}
	return http.StatusForbidden, "this is for clients on this machine, by its address; for others, set http.token (or http.token_file) and show it as Authorization: Bearer TOKEN"
}

// mayAsk says whether a client has control, or would with the token. Without a token that is a client on this machine
// which does not speak for one elsewhere, as a proxy does.
func (g *guard) mayAsk(r *http.Request) bool {
	if g.token() != "" {
		return true
	}
	for _, forwarded := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if r.Header.Get(forwarded) != "" {
			return false
		}
	}
	return isLoopback(r.RemoteAddr) && isLoopback(r.Host)
}

// matches compares in a time that does not tell how much of a wrong token is right.
func matches(header, token string) bool {
	scheme, given, _ := strings.Cut(header, " ")
	a, b := sha256.Sum256([]byte(strings.TrimSpace(given))), sha256.Sum256([]byte(token))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// fromThisMachine refuses clients from elsewhere: a profile shows the command line and costs a processor. A request
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
	host := hostname(address)
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// hostname is a host without its port and brackets.
func hostname(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	return strings.Trim(host, "[]")
}
