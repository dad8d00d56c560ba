package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// serveStub runs until standard input ends.
func serveStub() int {
	s := &stub{}
	var p params
	in := json.NewDecoder(os.Stdin)
	err := in.Decode(&p)
	s.open, s.takes = p.Shards, p.Takes
	if err == nil && p.Records != "" {
		err = s.load(p.Records)
	}
	var l net.Listener
	if err == nil {
		l, err = net.Listen("tcp4", "127.0.0.1:0")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "stub stream:", err)
		return 1
	}
	server := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	fmt.Printf("http://%s\n", l.Addr())
	_, _ = io.Copy(io.Discard, in.Buffered())
	_, _ = io.Copy(io.Discard, os.Stdin) // our parent holds the other end for as long as it wants us
	_ = server.Close()
	return 0
}

// startStub starts a stub and returns its endpoint and what ends it.
func startStub(ctx context.Context, p params) (endpoint string, stop func(), err error) {
	cmd, err := stepCommand(ctx, stubStep)
	if err != nil {
		return "", nil, err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = in.Close()
		_ = cmd.Wait()
	}
	if err := json.NewEncoder(in).Encode(p); err != nil {
		stop()
		return "", nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("start the stub stream: %w", err)
	}
	return strings.TrimSpace(line), stop, nil
}

func askStub(ctx context.Context, endpoint string) (stubState, error) {
	var s stubState
	return s, callStub(ctx, endpoint+"/state", &s)
}

// failStub makes every call fail for d from now on.
func failStub(ctx context.Context, endpoint string, d time.Duration) error {
	return callStub(ctx, endpoint+"/fail?for="+d.String(), nil)
}

// failBucket does so with requests for objects, and leaves the stream as it is.
func failBucket(ctx context.Context, endpoint string, d time.Duration) error {
	return callStub(ctx, endpoint+"/fail?bucket=1&for="+d.String(), nil)
}

func callStub(ctx context.Context, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
