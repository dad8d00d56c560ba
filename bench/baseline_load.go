package main

import (
	"context"
	"fmt"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
)

func selectAll(p *params) string {
	return "SELECT * FROM " + database + "." + p.Table
}

func connect(ctx context.Context, p *params) (*client.Conn, error) {
	return client.ConnectWithContext(ctx, fmt.Sprintf("%s:%d", dbserver.Host, p.Port), dbserver.User, "", database, 10*time.Second)
}

// loadRows streams the table and counts what use makes of each row.
func loadRows(ctx context.Context, p *params, done func(items, bytes int64),
	use func(fields []*mysql.Field, row []mysql.FieldValue) (size int, err error)) error {
	conn, err := connect(ctx, p)
	if err != nil {
		return err
	}
	defer conn.Close()
	var items, bytes int64
	var result mysql.Result
	err = conn.ExecuteSelectStreaming(selectAll(p), &result, func(row []mysql.FieldValue) error {
		size, err := use(result.Fields, row)
		items++
		bytes += int64(size)
		return err
	}, nil)
	done(items, bytes)
	return err
}

// loadBare looks at no value.
func loadBare(ctx context.Context, p *params, done func(items, bytes int64)) error {
	return loadRows(ctx, p, done, func(_ []*mysql.Field, row []mysql.FieldValue) (size int, err error) {
		for i := range row {
			size += len(row[i].AsString())
		}
		return size, nil
	})
}

// loadBaseline makes a record of every row.
func loadBaseline(ctx context.Context, p *params, done func(items, bytes int64)) error {
	var names []string
	rows := uint64(0)
	return loadRows(ctx, p, done, func(fields []*mysql.Field, row []mysql.FieldValue) (int, error) {
		if names == nil {
			for _, f := range fields {
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
		rows++
		data, err := marshalStruct(values, &metadata{
			Timestamp: time.Now().UTC().Format(timeFormat), RecordType: "data", Operation: "load",
			PartitionKeyType: "primary-key", SchemaName: database, TableName: p.Table, WriterTerm: 1, SourceEpoch: 1, WriterSequence: rows,
		})
		return len(data), err
	})
}
