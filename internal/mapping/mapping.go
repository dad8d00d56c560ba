// Package mapping reads a DMS table-mapping document and answers which tables it selects, in which order they load,
// and which partition keys it gives them. It takes the documents that DMS takes, unchanged, and refuses by name what
// it cannot do: no rule is ever ignored silently. It is pure.
package mapping

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
)

// systemSchemas are never selected, whatever the rules say: what stands in them belongs to the server.
var systemSchemas = []string{"mysql", "sys", "information_schema", "performance_schema"}

// Rules is a table-mapping document that was understood. It does not change once made and may be used by several
// goroutines.
type Rules struct {
	selections []selection
	keys       []keyRule
	fold       bool
}

// selection is one rule that includes or excludes tables.
type selection struct {
	where   locator
	exclude bool
	tables  bool // the rule is about tables
	views   bool // the rule is about views
	order   int
}

// keyRule gives the tables it matches their partition key.
type keyRule struct {
	where locator
	key   PartitionKey
}

// locator finds tables by the names of their schema and themselves.
type locator struct{ schema, table pattern }

func (l *locator) match(schema, table string, fold bool) bool {
	return l.schema.match(schema, fold) && l.table.match(table, fold)
}

// PartitionKey is the partition key that an object-mapping rule gives a table.
type PartitionKey struct {
	Type     record.KeyType
	Constant string // KeyConstant
	Name     string // KeyAttributeName: the column
}

// CaseInsensitive is the rules for a server that does not tell names apart by case (lower_case_table_names is not 0).
func (r *Rules) CaseInsensitive() *Rules {
	folded := *r
	folded.fold = true
	return &folded
}

// Selected says whether the rules want the table: a rule includes it and none excludes it, in whatever order they
// stand. Tables of MySQL's own schemas are never wanted.
func (r *Rules) Selected(schema, table string) bool {
	return r.selects(schema, table, func(s *selection) bool { return s.tables })
}

// SelectedView is Selected for a view: only rules whose table-type is view or all are about views.
func (r *Rules) SelectedView(schema, view string) bool {
	return r.selects(schema, view, func(s *selection) bool { return s.views })
}

func (r *Rules) selects(schema, table string, about func(*selection) bool) bool {
	if isSystem(schema) {
		return false
	}
	included := false
	for i := range r.selections {
		s := &r.selections[i]
		if !about(s) || !s.exclude && included || !s.where.match(schema, table, r.fold) {
			continue
		}
		if s.exclude {
			return false
		}
		included = true
	}
	return included
}

func isSystem(schema string) bool {
	return slices.ContainsFunc(systemSchemas, func(s string) bool { return strings.EqualFold(s, schema) })
}

// LoadOrder is the table's load-order, the highest of the rules that include it; 0 if none gives it one. Tables of a
// higher order load first.
func (r *Rules) LoadOrder(schema, table string) int {
	order := 0
	for i := range r.selections {
		if s := &r.selections[i]; !s.exclude && s.order > order && s.where.match(schema, table, r.fold) {
			order = s.order
		}
	}
	return order
}

// PartitionKey is the partition key that an object-mapping rule gives the table; the first rule that matches counts.
// Without one the stream's own settings apply.
func (r *Rules) PartitionKey(schema, table string) (PartitionKey, bool) {
	for i := range r.keys {
		if k := &r.keys[i]; k.where.match(schema, table, r.fold) {
			return k.key, true
		}
	}
	return PartitionKey{}, false
}

// Fingerprint is equal for documents that mean the same: names, spacing and the order of selection rules don't count.
func (r *Rules) Fingerprint() string {
	var lines []string
	for i := range r.selections {
		s := &r.selections[i]
		lines = append(lines, fmt.Sprintf("select exclude=%t tables=%t views=%t order=%d %q %q", s.exclude, s.tables, s.views, s.order, s.where.schema, s.where.table))
	}
	slices.Sort(lines)
	lines = slices.Compact(lines)
	for i := range r.keys {
		k := &r.keys[i]
		lines = append(lines, fmt.Sprintf("key %s %q %q %q %q", k.key.Type, k.key.Constant, k.key.Name, k.where.schema, k.where.table))
	}
	if r.fold {
		lines = append(lines, "fold")
	}
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:])
}
