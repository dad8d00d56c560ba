package console

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
)

// Half is one of the daemon's halves as the console controls it. Pause and Resume return when that is durable.
type Half struct {
	Name   string // "replicate", "deliver"
	Pause  func(context.Context) error
	Resume func(context.Context) error
	Paused func() bool
}

// answer is the body of every answer of the control API.
type answer struct {
	Result string `json:"result,omitempty"`
	Error  string `json:"error,omitempty"`
}

// reloadRequest is the body of POST /api/reload-table.
type reloadRequest struct {
	Table string `json:"table"` // schema.table
}

// reloadTable begins a table's reload: POST /api/reload-table with {"table": "SCHEMA.TABLE"}. 202 says that it has begun
// and survives a crash; 409 says why it cannot.
func reloadTable(reload func(ctx context.Context, table string) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request reloadRequest
		if !parse(w, r, &request) || request.Table == "" {
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

// pauseRequest is the body of POST /api/pause and /api/resume.
type pauseRequest struct {
	Half string `json:"half"` // "": all that run here
}

// turn pauses or resumes halves: POST /api/pause or /api/resume with {} or {"half": "replicate"}. 200 says that it is so
// from now on, whatever crashes; a pause is complete when the status says paused.
func turn(halves []Half, pause bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request pauseRequest
		if !parse(w, r, &request) {
			reply(w, http.StatusBadRequest, answer{Error: `the body must be JSON such as {} or {"half": "replicate"}`})
			return
		}
		chosen := slices.DeleteFunc(slices.Clone(halves), func(h Half) bool { return request.Half != "" && h.Name != request.Half })
		if len(chosen) == 0 {
			reply(w, http.StatusConflict, answer{Error: request.Half + " does not run in this process: ask the process that runs it; the halves are replicate and deliver"})
			return
		}
		result := ""
		for _, h := range chosen {
			said, err := h.turn(r.Context(), pause)
			if err != nil {
				reply(w, http.StatusConflict, answer{Error: err.Error()})
				return
			}
			if result != "" {
				result += "; "
			}
			result += said
		}
		reply(w, http.StatusOK, answer{Result: result})
	})
}

func (h Half) turn(ctx context.Context, pause bool) (said string, err error) {
	was := h.Paused()
	switch {
	case pause:
		said, err = h.Name+" is paused: it takes nothing in, and what it has taken in is flushed", h.Pause(ctx)
	default:
		said, err = h.Name+" goes on", h.Resume(ctx)
	}
	if was == pause {
		said = h.Name + " was " + map[bool]string{true: "paused", false: "running"}[pause] + " already"
	}
	return said, err
}

// parse reads a request's body.
func parse(w http.ResponseWriter, r *http.Request, into any) bool {
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	body.DisallowUnknownFields()
	return body.Decode(into) == nil
}

// reply answers with JSON.
func reply(w http.ResponseWriter, status int, a any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(a) // a client that is gone needs no answer
}
