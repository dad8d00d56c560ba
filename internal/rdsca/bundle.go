package rdsca

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/binlogstreamer/binlogstreamer/internal/outage"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// URL is where AWS publishes the authorities of all regions of a region's partition.
// https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.SSL.html
func URL(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "https://rds-truststore.s3.cn-north-1.amazonaws.com.cn/global/global-bundle.pem"
	case strings.HasPrefix(region, "us-gov-"):
		return "https://truststore.pki.us-gov-west-1.rds.amazonaws.com/global/global-bundle.pem"
	}
	return "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"
}

// Bundle is the file of certificates that AWS publishes. It implements source.Roots.
type Bundle struct {
	url    string
	copy   string // file; "": none is kept
	client *http.Client
	health *outage.Watch // of fetching it, and in a part of keeping it

	turn chan struct{} // whose turn it is; covers what follows
	last []byte
	got  time.Time // when it was asked for, with or without success
}

// New makes a Bundle that is fetched from a URL when it is first needed, and once a day from then on. copy is the file
// that it is kept in, for a start without a way to AWS; "" is none.
func New(url, copy string, log *slog.Logger) *Bundle {
	return &Bundle{url: url, copy: copy, client: &http.Client{Timeout: patience}, health: outage.New(log, "fetching AWS's certificate bundle"), turn: make(chan struct{}, 1)}
}

const (
	patience = 5 * time.Second
	fresh    = 24 * time.Hour
	retry    = time.Minute // between attempts, while there is a copy
	largest  = 4 << 20     // it had 165 KB in 2024
)

// partKeep is what log lines call writing the copy. Without it a start without a way to AWS fails.
const partKeep = "keeping a copy"

// String implements source.Roots.
func (b *Bundle) String() string { return "AWS's certificate bundle" }

// PEM implements source.Roots.
func (b *Bundle) PEM(ctx context.Context) ([]byte, error) {
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if b.last != nil && time.Since(b.got) < fresh {
		return b.last, nil
	}
	text, err := b.fetch(ctx)
	if err == nil {
		b.health.Working()
		b.last, b.got = text, time.Now()
		b.keep(text)
		return text, nil
	}
	if b.last == nil {
		b.last = b.kept()
	}
	if b.last == nil {
		return nil, b.failed(err)
	}
	b.health.Failing(err) // the copy is gone on with
	b.got = time.Now().Add(retry - fresh)
	return b.last, nil
}

func (b *Bundle) failed(err error) error {
	return &source.LoginError{
		Origin: b.String(), Err: err,
		Hint: "let the daemon reach " + b.url + ", or download it elsewhere and name the file in source.tls_ca",
	}
}

// fetch asks AWS.
func (b *Bundle) fetch(ctx context.Context) ([]byte, error) {
	ctx, cancel := half(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", b.url, resp.Status)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, largest))
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", b.url, err)
	}
	if err := whole(text); err != nil {
		return nil, fmt.Errorf("GET %s: %w", b.url, err)
	}
	return text, nil
}

// half leaves half of the time that there is to what comes after.
func half(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := patience
	if end, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(end)/2)
	}
	return context.WithTimeout(ctx, limit)
}

// whole refuses what is not a file of authorities from its first to its last byte.
func whole(text []byte) error {
	n := 0
	for rest := text; ; n++ {
		block, after := pem.Decode(rest)
		if block == nil {
			if n == 0 || strings.TrimSpace(string(rest)) != "" {
				return errors.New("what came is not a file of PEM certificates")
			}
			return nil
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("certificate %d: %w", n+1, err)
		}
		if !c.IsCA {
			return fmt.Errorf("certificate %d, of %s, is not an authority's", n+1, c.Subject)
		}
		rest = after
	}
}

// keep writes the copy. Doing without one is no failure.
func (b *Bundle) keep(text []byte) {
	if b.copy == "" {
		return
	}
	if err := renameio.WriteFile(b.copy, text, 0o644); err != nil {
		b.health.PartFailing(partKeep, err)
		return
	}
	b.health.PartWorking(partKeep)
}

// kept reads the copy; nil if there is none that is whole.
func (b *Bundle) kept() []byte {
	if b.copy == "" {
		return nil
	}
	text, err := os.ReadFile(b.copy)
	if err != nil || whole(text) != nil {
		return nil
	}
	return text
}
