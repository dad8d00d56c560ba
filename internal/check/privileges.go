package check

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// readGrants asks what the account may do. A server that does not say leaves grants nil; what is then tried out
// still counts.
func (c *sourceCheck) readGrants(ctx context.Context) {
	c.user = "the user"
	if account, err := c.value(ctx, "SELECT CURRENT_USER()", 0); err == nil {
		c.user = quoteAccount(account)
	}
	lines, err := c.lines(ctx, "SHOW GRANTS")
	if err != nil {
		return
	}
	if c.server.Flavor == source.MySQL && c.server.VersionAtLeast(8, 0, 0) {
		active, err := c.value(ctx, "SELECT CURRENT_ROLE()", 0)
		if err == nil && active != "" && active != "NONE" {
			more, err := c.lines(ctx, "SHOW GRANTS FOR CURRENT_USER() USING "+active)
			if err == nil {
				lines = append(lines, more...)
			}
		}
	}
	c.grants = parseGrants(lines)
}

// quoteAccount is user@host with both parts quoted; the host is what stands behind the last @.
func quoteAccount(account string) string {
	at := strings.LastIndexByte(account, '@')
	if at < 0 {
		return schema.QuoteString(account)
	}
	return schema.QuoteString(account[:at]) + "@" + schema.QuoteString(account[at+1:])
}

func (c *sourceCheck) lines(ctx context.Context, query string) ([]string, error) {
	r, err := source.Query(ctx, c.conn, query)
	if err != nil || r.Resultset == nil {
		return nil, err
	}
	out := make([]string, len(r.Values))
	for i := range out {
		out[i] = text(r, i, 0)
	}
	return out, nil
}

// replicationPrivileges checks the two that are held on the whole server or not at all. MariaDB has its own names,
// and lets some others stand in.
func (c *sourceCheck) replicationPrivileges() {
	follow := []string{"REPLICATION SLAVE", "REPLICATION REPLICA"}
	look := []string{"REPLICATION CLIENT"}
	if c.server.Flavor == source.MariaDB {
		look = []string{"BINLOG MONITOR", "REPLICATION CLIENT", "SUPER"}
	}
	c.privilege(follow, "read the binlog")
	c.privilege(look, "ask where the binlog ends")
}

// privilege checks for one of several names of a privilege; the first is the one to grant.
func (c *sourceCheck) privilege(names []string, purpose string) {
	item := "privilege"
	cure := fmt.Sprintf("GRANT %s ON *.* TO %s;", names[0], c.user)
	switch {
	case c.grants == nil:
		c.add(Warn, item, names[0]+" (to "+purpose+"): the server does not show the user's grants", cure)
	case c.grants.everywhere(names...):
		c.ok(item, "%s, to %s", names[0], purpose)
	default:
		if len(c.grants.roles) > 0 {
			cure += fmt.Sprintf("\nor, if a role has it that is not active: SET DEFAULT ROLE ALL TO %s; (MariaDB: SET DEFAULT ROLE name FOR …)", c.user)
		}
		c.add(Fail, item, names[0]+" is missing, to "+purpose, cure)
	}
}

// tables looks at every selected table: may it be read, has it a key, do its columns have types that we render.
func (c *sourceCheck) tables(ctx context.Context) {
	all, err := source.Tables(ctx, c.conn)
	if err != nil {
		c.failed("tables", err, "")
		return
	}
	rules := c.Rules(c.server.LowerCaseTables)
	selected, views := 0, 0
	for _, t := range all {
		if !rules.Selected(t.Schema, t.Name) {
			continue
		}
		if t.View {
			views++
			continue
		}
		selected++
		c.table(ctx, t)
	}
	switch {
	case selected > 0:
		c.ok("tables", "%d selected of %d that the user may see", selected, len(all))
	case views > 0:
		c.add(Fail, "tables", "the table mappings select views only", "select the tables behind them: views have no changes in the binlog")
	default:
		c.add(Fail, "tables", fmt.Sprintf("the table mappings select none of the %d tables that the user may see", len(all)),
			"check schema-name and table-name, which are case-sensitive, or let the user see the tables:\n"+
				fmt.Sprintf("GRANT SELECT ON `schema`.* TO %s;", c.user))
	}
}

func (c *sourceCheck) table(ctx context.Context, name source.TableName) {
	const item = "table"
	full := name.Schema + "." + name.Name
	if why, suspended := c.Suspended[full]; suspended {
		c.add(Fail, item, full+" is suspended: "+why, "mend what is named there, then: binlogstreamer reload-table "+full)
		return
	}
	grant := fmt.Sprintf("GRANT SELECT ON %s.%s TO %s;", schema.QuoteIdent(name.Schema), schema.QuoteIdent(name.Name), c.user)
	t, err := source.LoadTable(ctx, c.conn, name.Schema, name.Name)
	if err != nil {
		cure := "exclude the table in the table mappings, or change the column's type"
		if isDenied(err) {
			cure = grant
		}
		c.failed(item, fmt.Errorf("%s: %w", full, err), cure)
		return
	}
	if err := probe(ctx, c.conn, t); err != nil {
		if isDenied(err) {
			c.add(Fail, item, full+" may not be read: SELECT is missing, on the table or some of its columns", grant)
			return
		}
		c.failed(item, fmt.Errorf("%s: %w", full, err), "")
		return
	}
	if _, err := schema.NewTextLayout(t, schema.Options{}); err != nil {
		c.failed(item, fmt.Errorf("%s: %w", full, err), "exclude the table in the table mappings, or change the column's type")
		return
	}
	c.key(item, t)
}

// probe reads no row, but makes the server check the right to read each column.
func probe(ctx context.Context, conn *client.Conn, t *schema.Table) error {
	columns := make([]string, len(t.Columns))
	for i, col := range t.Columns {
		columns[i] = schema.QuoteIdent(col.Name)
	}
	query := fmt.Sprintf("SELECT %s FROM %s.%s LIMIT 0", strings.Join(columns, ", "), schema.QuoteIdent(t.Schema), schema.QuoteIdent(t.Name))
	_, err := source.Query(ctx, conn, query)
	return err
}

func isDenied(err error) bool {
	return isCode(err, mysql.ER_TABLEACCESS_DENIED_ERROR, mysql.ER_COLUMNACCESS_DENIED_ERROR, mysql.ER_DBACCESS_DENIED_ERROR,
		mysql.ER_SPECIFIC_ACCESS_DENIED_ERROR, mysql.ER_ACCESS_DENIED_ERROR)
}

// key tells what makes a row's partition key and orders the load.
func (c *sourceCheck) key(item string, t *schema.Table) {
	names := make([]string, len(t.Key))
	for i, k := range t.Key {
		names[i] = t.Columns[k].Name
	}
	list := strings.Join(names, ", ")
	switch t.KeyKind {
	case schema.PrimaryKey:
		c.ok(item, "%s: %d columns, primary key (%s)", t.FullName(), len(t.Columns), list)
	case schema.UniqueKey:
		c.ok(item, "%s: %d columns, no primary key, but unique key (%s)", t.FullName(), len(t.Columns), list)
	default:
		c.add(Warn, item, fmt.Sprintf("%s: %d columns and no key: all its rows share one partition key and so one shard, and it can't be loaded in parts", t.FullName(), len(t.Columns)),
			fmt.Sprintf("ALTER TABLE %s.%s ADD COLUMN %s BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY;",
				schema.QuoteIdent(t.Schema), schema.QuoteIdent(t.Name), schema.QuoteIdent(freeName(t))))
	}
}

// freeName is a name that no column of the table has.
func freeName(t *schema.Table) string {
	name := "id"
	for slices.ContainsFunc(t.Columns, func(c schema.Column) bool { return strings.EqualFold(c.Name, name) }) {
		name = "row_" + name
	}
	return name
}
