package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/canal"
	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
)

// The baselines are what a program of this kind looks like when it is put together from the usual parts: go-mysql's
// canal or client, a map for each row, encoding/json, and the SDK's PutRecords as it is.

const timeFormat = "2006-01-02T15:04:05.000000Z"

// metadata is what the product's records say about a change.
type metadata struct {
	Timestamp               string `json:"timestamp"`
	RecordType              string `json:"record-type"`
	Operation               string `json:"operation"`
	PartitionKeyType        string `json:"partition-key-type"`
	SchemaName              string `json:"schema-name"`
	TableName               string `json:"table-name"`
	TransactionID           uint64 `json:"transaction-id,omitempty"`
	TransactionRecordID     int64  `json:"transaction-record-id,omitempty"`
	PrevTransactionID       uint64 `json:"prev-transaction-id,omitempty"`
	PrevTransactionRecordID int64  `json:"prev-transaction-record-id,omitempty"`
	CommitTimestamp         string `json:"commit-timestamp,omitempty"`
	StreamPosition          string `json:"stream-position,omitempty"`
	GTID                    string `json:"gtid,omitempty"`
	WriterTerm              uint64 `json:"writer-term,omitempty"`
	SourceEpoch             uint64 `json:"source-epoch,omitempty"`
	WriterSequence          uint64 `json:"writer-sequence,omitempty"`
}

// marshalMaps makes a record of maps, as programs do that let rules rename and drop keys.
func marshalMaps(row map[string]any, m *metadata) ([]byte, error) {
	return json.Marshal(map[string]any{"data": row, "metadata": map[string]any{
		"timestamp":                  m.Timestamp,
		"record-type":                m.RecordType,
		"operation":                  m.Operation,
		"partition-key-type":         m.PartitionKeyType,
		"schema-name":                m.SchemaName,
		"table-name":                 m.TableName,
		"transaction-id":             m.TransactionID,
		"transaction-record-id":      m.TransactionRecordID,
		"prev-transaction-id":        m.PrevTransactionID,
		"prev-transaction-record-id": m.PrevTransactionRecordID,
		"commit-timestamp":           m.CommitTimestamp,
		"stream-position":            m.StreamPosition,
		"gtid":                       m.GTID,
		"writer-term":                m.WriterTerm,
		"source-epoch":               m.SourceEpoch,
	}})
}

// marshalStruct makes the same record with a struct for the metadata, the leanest that encoding/json allows.
func marshalStruct(row map[string]any, m *metadata) ([]byte, error) {
	return json.Marshal(struct {
		Data     map[string]any `json:"data"`
		Metadata *metadata      `json:"metadata"`
	}{row, m})
}

// canalHandler makes a record of every row change, with the keys that the product's records have, and passes it on.
type canalHandler struct {
	canal.DummyEventHandler
	marshal     func(map[string]any, *metadata) ([]byte, error)
	file        string
	gtid        string
	transaction uint64
	want        int64
	seen        int64
	emit        func(key string, data []byte) error
	done        func() // called with the last change
}

func (h *canalHandler) String() string { return "bench" }

func (h *canalHandler) OnGTID(header *replication.EventHeader, gtid mysql.BinlogGTIDEvent) error {
	next, err := gtid.GTIDNext()
	if err != nil {
		return err
	}
	h.gtid, h.transaction = next.String(), uint64(header.LogPos)
	return nil
}

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
		data, err := h.marshal(row, &metadata{
			Timestamp: time.Now().UTC().Format(timeFormat), RecordType: "data", Operation: operation,
			PartitionKeyType: "primary-key", SchemaName: e.Table.Schema, TableName: e.Table.Name,
			TransactionID: h.transaction, TransactionRecordID: h.seen,
			PrevTransactionID: h.transaction - 1, PrevTransactionRecordID: h.seen,
			CommitTimestamp: committed, StreamPosition: fmt.Sprintf("%s:%d:%d", h.file, e.Header.LogPos, i),
			GTID: h.gtid, WriterTerm: 1, SourceEpoch: 1,
		})
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
func runCanal(ctx context.Context, p *params, marshal func(map[string]any, *metadata) ([]byte, error), emit func(key string, data []byte) error) error {
	cfg := canal.NewDefaultConfig()
	cfg.Addr, cfg.User, cfg.Flavor = fmt.Sprintf("%s:%d", dbserver.Host, p.Port), dbserver.User, mysql.MySQLFlavor
	cfg.ServerID = 7001
	cfg.Dump.ExecutionPath = ""
	cfg.IncludeTableRegex = []string{"^" + p.database() + `\.` + strings.Replace(p.Table, "%", ".*", 1) + "$"}
	cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	c, err := canal.NewCanal(cfg)
	if err != nil {
		return err
	}
	finished := make(chan struct{})
	h := &canalHandler{marshal: marshal, file: p.File, want: p.Changes, emit: emit, done: func() { close(finished) }}
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
	return canalDropped(ctx, p, marshalMaps, done)
}

func binlogLean(ctx context.Context, p *params, done func(items, bytes int64)) error {
	return canalDropped(ctx, p, marshalStruct, done)
}

// canalDropped makes the records and drops them.
func canalDropped(ctx context.Context, p *params, marshal func(map[string]any, *metadata) ([]byte, error), done func(items, bytes int64)) error {
	var items, bytes int64
	return runCanal(ctx, p, marshal, func(key string, data []byte) error {
		items++
		bytes += int64(len(data) + len(key))
		if items == p.Changes {
			done(p.written(), bytes)
		}
		return nil
	})
}
