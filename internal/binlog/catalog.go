package binlog

import (
	"context"
	"errors"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// catalog asks the server for definitions, on a connection of its own that is opened when it is first needed.
type catalog struct {
	cfg  Config
	conn *client.Conn
	sets charsets
}

// table is the present definition of a table; nil without an error if there is none.
func (c *catalog) table(ctx context.Context, schemaName, name string) (*schema.Table, error) {
	var t *schema.Table
	load := func(conn *client.Conn) (err error) {
		t, err = source.LoadTable(ctx, conn, schemaName, name)
		return err
	}
	var err error
	if c.cfg.LoadTable != nil {
		t, err = c.cfg.LoadTable(ctx, schemaName, name)
	} else {
		err = c.with(ctx, load)
	}
	if errors.Is(err, source.ErrNoTable) {
		return nil, nil
	}
	return t, err
}

// charsets are the server's collations, asked for once.
func (c *catalog) charsets(ctx context.Context) (charsets, error) {
	if c.sets != nil {
		return c.sets, nil
	}
	err := c.with(ctx, func(conn *client.Conn) (err error) {
		c.sets, err = source.Collations(ctx, conn)
		return err
	})
	return c.sets, err
}

// with runs fn on the connection. One that turns out to be broken is opened again, once.
func (c *catalog) with(ctx context.Context, fn func(*client.Conn) error) error {
	for again := c.conn != nil; ; again = false {
		if c.conn == nil {
			conn, err := source.Connect(ctx, c.cfg.Source)
			if err != nil {
				return err
			}
			c.conn = conn
		}
		err := fn(c.conn)
		if err == nil || errors.Is(err, source.ErrNoTable) {
			return err
		}
		if _, answered := errors.AsType[*mysql.MyError](err); answered {
			return err
		}
		c.close()
		if !again || ctx.Err() != nil {
			return err
		}
	}
}

func (c *catalog) close() {
	if c.conn != nil {
		source.Close(c.conn)
		c.conn = nil
	}
}
