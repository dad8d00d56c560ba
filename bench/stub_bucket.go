package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// bucket plays S3 as far as a writer that creates objects looks at it: what is put is dropped, and its name and metadata
// are kept, so that a name is given once and answers when it is asked for.
type bucket struct {
	objects  sync.Map // path -> http.Header of its metadata
	records  atomic.Int64
	downTill atomic.Int64 // Unix nanoseconds: before that, every request fails
}

// countHeader is the metadata of an object that says how many records it holds.
const countHeader = "X-Amz-Meta-Binlogstreamer-Count"

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	if time.Now().UnixNano() < b.downTill.Load() {
		refuse(w, http.StatusServiceUnavailable, "SlowDown")
		return
	}
	switch r.Method {
	case http.MethodPut:
		b.put(w, r)
	case http.MethodHead, http.MethodGet:
		found, ok := b.objects.Load(r.URL.Path)
		if !ok {
			refuse(w, http.StatusNotFound, "NoSuchKey")
			return
		}
		for name, values := range found.(http.Header) {
			w.Header()[name] = values
		}
		w.Header().Set("ETag", `"0"`)
	default:
		refuse(w, http.StatusNotImplemented, "NotImplemented")
	}
}

// put creates an object. As in S3, If-None-Match keeps one that is there.
func (b *bucket) put(w http.ResponseWriter, r *http.Request) {
	meta := http.Header{}
	for name, values := range r.Header {
		if len(name) > len("X-Amz-Meta-") && name[:len("X-Amz-Meta-")] == "X-Amz-Meta-" {
			meta[name] = values
		}
	}
	if r.Header.Get("If-None-Match") != "" {
		if _, taken := b.objects.LoadOrStore(r.URL.Path, meta); taken {
			refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
			return
		}
	} else {
		b.objects.Store(r.URL.Path, meta)
	}
	n, _ := strconv.ParseInt(r.Header.Get(countHeader), 10, 64)
	b.records.Add(n)
	w.Header().Set("ETag", `"0"`)
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, code)
}
