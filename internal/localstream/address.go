package localstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
)

const (
	// dialPatience is how long a connection waits for a server to appear: longer than a take-over takes.
	dialPatience = 15 * time.Second
	dialPause    = 25 * time.Millisecond

	addressSize = 128 // of address.json, more than any content needs
)

var errNobody = errors.New("no process serves it")

// address is the content of address.json: where the process that holds the lock serves.
type address struct {
	Address string `json:"address"`
	PID     int    `json:"pid"`
}

func (n *Node) addressPath() string { return filepath.Join(n.cfg.Dir, "address.json") }

// writeAddress puts addr in the file; "" when nobody serves any more. The content always has the same length, so that
// it can be overwritten where it stands when the disk is too full for a new file: an embedded stream must come back on
// a full disk, since its own clean-up may be what frees it. A reader who sees a half of it tries again.
func (n *Node) writeAddress(addr string) error {
	b, err := json.Marshal(address{Address: addr, PID: os.Getpid()})
	if err != nil {
		return err
	}
	b = append(b, bytes.Repeat([]byte(" "), max(0, addressSize-1-len(b)))...)
	b = append(b, '\n')
	err = replaceFile(n.addressPath(), b)
	if err == nil {
		return nil
	}
	f, inPlace := os.OpenFile(n.addressPath(), os.O_WRONLY, 0)
	if inPlace == nil {
		_, inPlace = f.WriteAt(b, 0)
		inPlace = errors.Join(inPlace, f.Close())
	}
	if inPlace != nil {
		return errors.Join(err, inPlace)
	}
	return nil
}

func (n *Node) readAddress() (address, error) {
	b, err := os.ReadFile(n.addressPath())
	if err != nil {
		return address{}, err
	}
	var a address
	if err := json.Unmarshal(b, &a); err != nil {
		return address{}, fmt.Errorf("%s: %w", n.addressPath(), err)
	}
	if a.Address == "" {
		return a, errNobody
	}
	if err := checkLoopback(a.Address); err != nil {
		return address{}, fmt.Errorf("%s: %w", n.addressPath(), err)
	}
	return a, nil
}

// Address returns host and port of the current server, whichever process it is in. It waits until there is one.
func (n *Node) Address(ctx context.Context) (string, error) {
	conn, err := n.dial(ctx, "tcp", "")
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return conn.RemoteAddr().String(), nil
}

// Endpoint is the base URL for SDK clients that use HTTPClient. It stays the same whoever serves; without HTTPClient it
// leads nowhere.
func (n *Node) Endpoint() string { return "http://embedded.localhost" }

// HTTPClient returns a client all of whose connections lead to the current server of the directory, in whichever
// process that is. A new connection waits a while for a server if there is none, so that a take-over looks like a slow
// answer. Requests on connections that a dying server breaks are repeated by the SDKs.
func (n *Node) HTTPClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext:         n.dial,
		Proxy:               nil, // a proxy has no business between two processes of one machine
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     30 * time.Second,
		DisableCompression:  true,
	}}
}

// dial connects to the current server whatever address it is asked for.
func (n *Node) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	var d net.Dialer
	for {
		a, err := n.readAddress()
		if err == nil {
			var conn net.Conn
			if conn, err = d.DialContext(ctx, "tcp", a.Address); err == nil {
				return conn, nil
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = errNobody
		}
		if backoff.Sleep(ctx, dialPause) != nil {
			return nil, fmt.Errorf("connect to the embedded stream in %s: %w (is a process running that is configured with it?)", n.cfg.Dir, err)
		}
	}
}

// checkLoopback reports an address that others than this machine could reach.
func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is not host:port: %w", addr, err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("%q is not a loopback address: the embedded stream checks no signatures and serves this machine only; "+
			"use 127.0.0.1 or ::1", addr)
	}
	return nil
}
