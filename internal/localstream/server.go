package localstream

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"golang.org/x/sync/semaphore"

	"github.com/binlogstreamer/binlogstreamer/internal/outage"
)

const (
	targetPrefix = "Kinesis_20131202."
	contentType  = "application/x-amz-json-1.1"

	// maxBody is more than the largest valid request: 10 MiB in Base64, 500 keys of 256 characters all escaped, and
	// the rest.
	maxBody = maxPutBytes*4/3 + maxPutRecords*(maxKeyLength*12+256) + 64<<10

	// smallBody is what a request may have without a reservation of memory.
	smallBody = 64 << 10
)

// handler is the HTTP side: it lets requests in, decodes and dispatches them, and writes the answers.
type handler struct {
	operations map[string]operation
	bodies     *budget // for requests
	logger     *slog.Logger
	health     *outage.Watch // its parts are operations
}

// released is an answer that holds something until it is sent.
type released interface {
	writeJSON(io.Writer) error
	release()
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Amzn-Requestid", rand.Text())
	out, err := h.answer(r)
	if err != nil {
		h.refuse(w, r, asAPIError(err))
		return
	}
	h.health.PartWorking(r.Header.Get("X-Amz-Target"))
	w.Header().Set("Content-Type", contentType)
	if o, ok := out.(released); ok {
		defer o.release()
		err = o.writeJSON(w)
	} else if out != nil {
		err = json.NewEncoder(w).Encode(out)
	}
	if err != nil && r.Context().Err() == nil {
		h.logger.Debug("the embedded stream could not send an answer", "target", r.Header.Get("X-Amz-Target"), "error", err)
	}
}

func (h *handler) refuse(w http.ResponseWriter, r *http.Request, e *apiError) {
	if e.status >= http.StatusInternalServerError && r.Context().Err() == nil {
		h.health.PartFailing(r.Header.Get("X-Amz-Target"), errors.Unwrap(e))
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(e.status)
	_ = json.NewEncoder(w).Encode(e) // nobody is left to tell if this fails
}

// answer does what r asks for.
func (h *handler) answer(r *http.Request) (any, error) {
	op, err := h.gate(r)
	if err != nil {
		return nil, err
	}
	size := r.ContentLength
	if size < 0 || size > maxBody {
		size = maxBody
	}
	if size > smallBody {
		release, err := h.bodies.reserve(r.Context(), 2*size) // the text and what is decoded from it
		if err != nil {
			return nil, err
		}
		defer release()
	}
	body, err := readBody(r, size)
	if err != nil {
		return nil, err
	}
	return op(r.Context(), body)
}

func readBody(r *http.Request, expected int64) ([]byte, error) {
	var body bytes.Buffer
	body.Grow(int(expected) + bytes.MinRead)
	_, err := body.ReadFrom(http.MaxBytesReader(nil, r.Body, maxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, &apiError{Type: "RequestEntityTooLarge", Message: fmt.Sprintf("A request may have %d bytes.", maxBody),
			status: http.StatusRequestEntityTooLarge}
	}
	if err != nil {
		return nil, fault("SerializationException", "the request could not be read: %v", err)
	}
	return body.Bytes(), nil
}

// budget bounds the memory of what is in work. A request that alone is above it waits until it is alone.
type budget struct {
	free *semaphore.Weighted
	size int64
}

func newBudget(size int64) *budget { return &budget{semaphore.NewWeighted(size), size} }

// reserve waits for n bytes. No caller may hold some of the same budget already.
func (b *budget) reserve(ctx context.Context, n int64) (release func(), err error) {
	n = min(n, b.size)
	if err := b.free.Acquire(ctx, n); err != nil {
		return nil, fmt.Errorf("wait for memory: %w", err)
	}
	return func() { b.free.Release(n) }, nil
}

// gate lets in what an SDK sends, and keeps out what a web page can make a browser send to loopback. A page can't set
// the content type or the target header without a preflight, which is never answered; the Origin header gives away
// every page, and the Host header one whose name was made to resolve to loopback.
func (h *handler) gate(r *http.Request) (operation, error) {
	if r.Method != http.MethodPost || r.URL.Path != "/" {
		return nil, &apiError{Type: "UnknownOperationException", Message: "This is a Kinesis endpoint: POST to /.", status: http.StatusNotFound}
	}
	if r.Header.Get("Origin") != "" || !isLoopback(r.Host) {
		return nil, &apiError{Type: "AccessDeniedException", Message: "The embedded stream is for programs on this machine.", status: http.StatusForbidden}
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != contentType {
		return nil, &apiError{Type: "UnknownOperationException", status: http.StatusUnsupportedMediaType,
			Message: "The content type has to be " + contentType + ". (Java SDKs: switch CBOR off, e.g. AWS_CBOR_DISABLE=true.)"}
	}
	name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	op := h.operations[name]
	if !ok || op == nil {
		return nil, fault("UnknownOperationException", "The embedded stream does not know the call %q.", r.Header.Get("X-Amz-Target"))
	}
	return op, nil
}

// isLoopback says whether a Host header names this machine's loopback.
func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
