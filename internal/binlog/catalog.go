package binlog

import (
	"context"
	"errors"
	"strings"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// catalog asks the server for definitions, on a connection of its own that is opened when it is first needed.
type catalog struct {
	cfg    Config
	server source.Server // that has to answer
	conn   *client.Conn
	sets   charsets

	impatient *client.Conn                                       // conn, once it has been told to wait for locks for a short time only
	end       func(ctx context.Context) (source.Position, error) // for tests; nil: ask the server
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
	if errors.Is(err, source.ErrNoTable) || errors.Is(err, source.ErrHidden) {
		return nil, nil
	}
	return t, err
}

// settled is the definition of a table behind everything that stands in the log already.
func (c *catalog) settled(ctx context.Context, schemaName, name string) (*schema.Table, error) {
	if err := c.fence(ctx, schemaName, name); err != nil {
		return nil, err
	}
	return c.table(ctx, schemaName, name)
}

// tables are the names of all tables.
func (c *catalog) tables(ctx context.Context) (names []source.TableName, err error) {
	err = c.with(ctx, func(conn *client.Conn) error {
		names, err = source.Tables(ctx, conn)
		return err
	})
	return names, err
}

// fence waits until statements on a table that stand in the log already are in force: the log comes first, but the table
// is locked until both are done.
func (c *catalog) fence(ctx context.Context, schemaName, name string) error {
	if c.cfg.LoadTable != nil {
		return nil
	}
	return c.with(ctx, func(conn *client.Conn) error {
		if c.impatient != conn {
			if err := source.Exec(ctx, conn, "SET SESSION lock_wait_timeout = 3"); err != nil {
				return err
			}
			c.impatient = conn
		}
		err := source.Exec(ctx, conn, "SELECT 1 FROM "+schema.QuoteIdent(schemaName)+"."+schema.QuoteIdent(name)+" LIMIT 0")
		if my, ok := errors.AsType[*mysql.MyError](err); ok && (my.Code == mysql.ER_NO_SUCH_TABLE || my.Code == mysql.ER_BAD_DB_ERROR) {
			return nil
		}
		return err
	})
}

// logged waits until whatever a definition shows that was read before stands in the log. With MySQL's older engines a
// statement is in force before it is logged; the table is locked until both are done.
func (c *catalog) logged(ctx context.Context, schemaName, name string) error {
	if c.cfg.LoadTable != nil || c.server.Flavor != source.MySQL {
		return nil
	}
	engine := ""
	err := c.with(ctx, func(conn *client.Conn) (err error) {
		engine, err = source.TableEngine(ctx, conn, schemaName, name)
		return err
	})
	if err != nil || engine == "" || strings.EqualFold(engine, "InnoDB") {
		return err
	}
	return c.fence(ctx, schemaName, name)
}

// logEnd is the end of the server's log. Whatever a definition shows that was read before lies in front of it.
func (c *catalog) logEnd(ctx context.Context) (end source.Position, err error) {
	if c.end != nil {
		return c.end(ctx)
	}
	err = c.with(ctx, func(conn *client.Conn) error {
		end, err = source.CurrentPosition(ctx, conn, c.server)
		return err
	})
	return end, err
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
			conn, err := c.connect(ctx)
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

// connect opens a connection to the server whose log is read: another one's definitions and positions mean nothing.
func (c *catalog) connect(ctx context.Context) (*client.Conn, error) {
	conn, err := source.Connect(ctx, c.cfg.Source)
	if err != nil {
		return nil, err
	}
	server, err := source.Describe(ctx, conn)
	if err == nil && c.server.UUID != "" && server.UUID != c.server.UUID {
		err = &source.Error{Step: "look up definitions", Err: source.ErrServerChanged}
	}
	if err != nil {
		source.Close(conn)
		return nil, err
	}
	return conn, nil
}

func (c *catalog) close() {
	if c.conn != nil {
		source.Close(c.conn)
		c.conn = nil
	}
}
