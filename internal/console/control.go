package console

import (
	"context"
	"encoding/json"
	"mime"
	"net/http"
)

// reloadRequest is the body of POST /api/reload-table.
type reloadRequest struct {
	Table string `json:"table"` // schema.table
}

// answer is the body of every answer of the control API.
type answer struct {
	Result string `json:"result,omitempty"`
	Error  string `json:"error,omitempty"`
}

// reloadTable begins a table's reload: POST /api/reload-table with {"table": "SCHEMA.TABLE"}. 202 says that it has begun
// and survives a crash; 409 says why it cannot.
func reloadTable(reload func(ctx context.Context, table string) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request reloadRequest
		body := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
		body.DisallowUnknownFields()
		if err := body.Decode(&request); err != nil || request.Table == "" {
			reply(w, http.StatusBadRequest, answer{Error: `the body must be JSON such as {"table": "SCHEMA.TABLE"}`})
			return
		}
		if err := reload(r.Context(), request.Table); err != nil {
			reply(w, http.StatusConflict, answer{Error: err.Error()})
			return
		}
		reply(w, http.StatusAccepted, answer{Result: "the reload of " + request.Table + " has begun"})
	})
}

func reply(w http.ResponseWriter, status int, a answer) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(a) // a client that is gone needs no answer
}

// controlled guards what changes something: only clients on this machine may, and no web page in a browser on it. A page
// can send a form anywhere, but not a request of type application/json without asking first, which is not granted.
func controlled(next http.Handler) http.Handler {
	return fromThisMachine(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			reply(w, http.StatusUnsupportedMediaType, answer{Error: "send Content-Type: application/json"})
			return
		}
		next.ServeHTTP(w, r)
	}))
}
