package check

import (
	"context"
	"fmt"
	"strings"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

const cascadesQuery = `SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS
	WHERE DELETE_RULE NOT IN ('RESTRICT', 'NO ACTION') OR UPDATE_RULE NOT IN ('RESTRICT', 'NO ACTION') ORDER BY 1, 2, 3`

// cascades looks for selected tables whose rows the storage engine changes by itself, which is in no log: nobody who
// reads changes can see it.
func (c *sourceCheck) cascades(ctx context.Context) {
	const item = "foreign keys"
	logged, err := c.logsCascades(ctx)
	if err != nil {
		c.failed(item, err, "")
		return
	}
	if logged {
		c.ok(item, "what they do to other tables is in the log")
		return
	}
	r, err := source.Query(ctx, c.conn, cascadesQuery)
	if err != nil {
		c.failed(item, err, "")
		return
	}
	rules := c.Rules(c.server.LowerCaseTables)
	var found []string
	for i := range r.RowNumber() {
		if schemaName, table := text(r, i, 0), text(r, i, 1); rules.Selected(schemaName, table) {
			found = append(found, fmt.Sprintf("%s.%s (%s)", schemaName, table, text(r, i, 2)))
		}
	}
	if len(found) == 0 {
		c.ok(item, "none changes a selected table by itself")
		return
	}
	const shown = 10
	list := strings.Join(found[:min(len(found), shown)], ", ")
	if more := len(found) - shown; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	c.add(Warn, item, list+": ON DELETE or ON UPDATE changes rows of these tables, and this server does not log that",
		"let the application change the rows before it changes what they refer to; MySQL 9.6 and newer logs it with innodb_native_foreign_keys=OFF")
}

// logsCascades reports whether the server itself, and not its storage engine, does what foreign keys ask for.
func (c *sourceCheck) logsCascades(ctx context.Context) (bool, error) {
	if c.server.Flavor != source.MySQL || !c.server.VersionAtLeast(9, 6, 0) {
		return false, nil
	}
	native, err := c.value(ctx, "SHOW GLOBAL VARIABLES LIKE 'innodb_native_foreign_keys'", 1)
	return native != "ON", err
}
