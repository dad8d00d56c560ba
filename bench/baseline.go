package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/go-mysql-org/go-mysql/canal"
	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"
	"golang.org/x/sync/errgroup"

	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
)

// The baselines are what a program of this kind looks like when it is put together from the usual parts: go-mysql's
// canal or client, a map for each row, encoding/json, and the SDK's PutRecords as it is.

// envelope is the baseline's record. Only the row is a map; a map for the metadata too would be slower still.
type envelope struct {
	Data     map[string]any `json:"data"`
	Metadata metadata       `json:"metadata"`
}

type metadata struct {
	Timestamp           string `json:"timestamp"`
	RecordType          string `json:"record-type"`
	Operation           string `json:"operation"`
	PartitionKeyType    string `json:"partition-key-type"`
	SchemaName          string `json:"schema-name"`
	TableName           string `json:"table-name"`
	TransactionID       uint64 `json:"transaction-id,omitempty"`
	TransactionRecordID uint64 `json:"transaction-record-id,omitempty"`
	CommitTimestamp     string `json:"commit-timestamp,omitempty"`
	StreamPosition      string `json:"stream-position,omitempty"`
}

const timeFormat = "2006-01-02T15:04:05.000000Z"

// canalHandler makes a record of every row change and passes it on.
type canalHandler struct {
	canal.DummyEventHandler
	want int64
	seen int64
	emit func(key string, data []byte) error
	done func() // called with the last change
}

func (h *canalHandler) String() string { return "bench" }

func (h *canalHandler) OnRow(e *canal.RowsEvent) error {
	from, step, operation := 0, 1, "insert"
	switch e.Action {
	case canal.UpdateAction:
		from, step, operation = 1, 2, "update"
	case canal.DeleteAction:
		operation = "delete"
	}
	committed := time.Unix(int64(e.Header.Timestamp), 0).UTC().Format(timeFormat)
	for i := from; i < len(e.Rows); i += step {
		row := make(map[string]any, len(e.Table.Columns))
		for c := range e.Table.Columns {
			if v := e.Rows[i][c]; v != nil {
				row[e.Table.Columns[c].Name] = v
			}
		}
		h.seen++
		data, err := json.Marshal(envelope{row, metadata{
			Timestamp: time.Now().UTC().Format(timeFormat), RecordType: "data", Operation: operation,
			PartitionKeyType: "primary-key", SchemaName: e.Table.Schema, TableName: e.Table.Name,
			TransactionID: uint64(e.Header.LogPos), TransactionRecordID: uint64(h.seen), CommitTimestamp: committed,
			StreamPosition: "binlog." + strconv.Itoa(int(e.Header.LogPos)),
		}})
		if err != nil {
			return err
		}
		key := fmt.Sprint(e.Table.Schema, ".", e.Table.Name, ".", e.Rows[i][0])
		if err := h.emit(key, data); err != nil {
			return err
		}
		if h.seen == h.want {
			h.done()
		}
	}
	return nil
}

// runCanal reads all changes and gives each record to emit.
func runCanal(ctx context.Context, p *params, emit func(key string, data []byte) error) error {
	cfg := canal.NewDefaultConfig()
	cfg.Addr, cfg.User, cfg.Flavor = fmt.Sprintf("%s:%d", dbserver.Host, p.Port), dbserver.User, mysql.MySQLFlavor
	cfg.ServerID = 7001
	cfg.Dump.ExecutionPath = ""
	cfg.IncludeTableRegex = []string{"^" + database + `\.` + p.Table + "$"}
	cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	c, err := canal.NewCanal(cfg)
	if err != nil {
		return err
	}
	finished := make(chan struct{})
	h := &canalHandler{want: p.Changes, emit: emit, done: func() { close(finished) }}
	c.SetEventHandler(h)
	ended := make(chan error, 1)
	go func() { ended <- c.RunFrom(mysql.Position{Name: p.File, Pos: p.Offset}) }()
	select {
	case <-finished:
		c.Close()
		_ = <-ended
		return nil
	case err := <-ended:
		return fmt.Errorf("canal ended after %d of %d changes: %w", h.seen, h.want, err)
	case <-ctx.Done():
		c.Close()
		_ = <-ended
		return context.Cause(ctx)
	}
}

func binlogBaseline(ctx context.Context, p *params, done func(items, bytes int64)) error {
	var items, bytes int64
	return runCanal(ctx, p, func(key string, data []byte) error {
		items++
		bytes += int64(len(data) + len(key))
		if items == p.Changes {
			done(items, bytes)
		}
		return nil
	})
}

// streamBaseline sends the records of binlogBaseline in requests of 500, four at a time, with no care for order.
func streamBaseline(ctx context.Context, p *params, done func(items, bytes int64)) error {
	k := kinesis.New(kinesis.Options{
		Region: "us-east-1", BaseEndpoint: &p.Stream, Credentials: credentials.NewStaticCredentialsProvider("bench", "bench", ""),
	})
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	var (
		batch []types.PutRecordsRequestEntry
		items int64
		sent  sync.Mutex // covers bytes
		bytes int64
	)
	flush := func() {
		entries := batch
		batch = nil
		group.Go(func() error {
			_, err := k.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: aws.String(streamName), Records: entries})
			sent.Lock()
			defer sent.Unlock()
			for _, e := range entries {
				bytes += int64(len(e.Data) + len(*e.PartitionKey))
			}
			return err
		})
	}
	err := runCanal(ctx, p, func(key string, data []byte) error {
		items++
		batch = append(batch, types.PutRecordsRequestEntry{Data: data, PartitionKey: &key})
		if len(batch) == 500 || items == p.Changes {
			flush()
		}
		return nil
	})
	if waitErr := group.Wait(); waitErr != nil {
		err = waitErr
	}
	done(items, bytes)
	return err
}

func selectAll(p *params) string {
	return "SELECT * FROM " + database + "." + p.Table
}

func connect(ctx context.Context, p *params) (*client.Conn, error) {
	return client.ConnectWithContext(ctx, fmt.Sprintf("%s:%d", dbserver.Host, p.Port), dbserver.User, "", database, 10*time.Second)
}

// loadBare streams the table and looks at nothing.
func loadBare(ctx context.Context, p *params, done func(items, bytes int64)) error {
	conn, err := connect(ctx, p)
	if err != nil {
		return err
	}
	defer conn.Close()
	var items, bytes int64
	var result mysql.Result
	err = conn.ExecuteSelectStreaming(selectAll(p), &result, func(row []mysql.FieldValue) error {
		items++
		for i := range row {
			bytes += int64(len(row[i].AsString()))
		}
		return nil
	}, nil)
	done(items, bytes)
	return err
}

// loadBaseline streams the table and makes a record of every row.
func loadBaseline(ctx context.Context, p *params, done func(items, bytes int64)) error {
	conn, err := connect(ctx, p)
	if err != nil {
		return err
	}
	defer conn.Close()
	var items, bytes int64
	var result mysql.Result
	var names []string
	err = conn.ExecuteSelectStreaming(selectAll(p), &result, func(row []mysql.FieldValue) error {
		if names == nil {
			for _, f := range result.Fields {
				names = append(names, string(f.Name))
			}
		}
		values := make(map[string]any, len(row))
		for i := range row {
			switch v := row[i].Value().(type) {
			case nil:
			case []byte:
				values[names[i]] = string(v)
			default:
				values[names[i]] = v
			}
		}
		data, err := json.Marshal(envelope{values, metadata{
			Timestamp: time.Now().UTC().Format(timeFormat), RecordType: "data", Operation: "load",
			PartitionKeyType: "primary-key", SchemaName: database, TableName: p.Table,
		}})
		items++
		bytes += int64(len(data))
		return err
	}, nil)
	done(items, bytes)
	return err
}
