package record

import (
	"fmt"
	"slices"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

// lobBytes is the size from which on TEXT and BLOB types count as LOBs: MEDIUMTEXT, LONGTEXT and their like.
const lobBytes = 1 << 16

// Plan holds everything about the records of one table version that does not depend on the row. It does not change
// once made and may be used by several goroutines.
type Plan struct {
	table    *schema.Table
	codec    schema.Codec
	opts     Options
	fullName string

	columns   []member // what data shows
	before    []member // what the before-image shows
	key       []int    // columns of the partition key; nil: the table has none
	rowKey    []int    // columns of the row key
	attribute int      // column of KeyAttributeName
	long      []longColumn
	lobBytes  int // LOBs are cut to so many bytes; 0: they are not

	dataOpen   []byte // {"data":{
	objectEnd  []byte // } of data and of the before-image
	beforeOpen []byte // ,"before-image":{
	meta       [Delete + 1]metadata
	form       *metadataForm
}

// member is one column with its name as it stands in front of the value.
type member struct {
	col  int
	part int    // of the partition key; -1: it is none
	name []byte // with the comma before it
}

// metadata holds the constant runs of one operation's metadata.
type metadata struct {
	kind   KeyType
	toTime []byte // ,"metadata":{"timestamp":"
	toKey  []byte // ", then record-type to partition-key-type, and partition-key-value up to its value if it is written
	toID   []byte // schema-name, table-name, and transaction-id up to its value if the operation has one
	keyed  bool   // partition-key-value is written
}

// NewPlan prepares the records of table t whose values c renders.
func NewPlan(t *schema.Table, c schema.Codec, o Options) (*Plan, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	p := &Plan{table: t, codec: c, opts: o, fullName: t.FullName(), key: t.Key}
	f := o.Format
	for i := range t.Columns {
		if t.Columns[i].Unlogged {
			continue
		}
		p.columns = append(p.columns, member{i, slices.Index(p.key, i), f.appendKey(nil, 2, true, t.Columns[i].Name)})
		p.rowKey = append(p.rowKey, i)
	}
	if p.HasKey() {
		p.rowKey = p.key
	}
	if o.PartitionKeyType == KeyAttributeName {
		p.attribute = slices.IndexFunc(t.Columns, func(c schema.Column) bool { return c.Name == o.PartitionKeyName && !c.Unlogged })
		if p.attribute < 0 {
			return nil, fmt.Errorf("plan records of %s: the table has no column %q to take the partition key from; choose another partition-key-name or partition-key-type for it", p.fullName, o.PartitionKeyName)
		}
	}
	p.render()
	if o.BeforeImage.Enabled { // with the names where render has put them
		p.before = slices.DeleteFunc(slices.Clone(p.columns), func(m member) bool { return !p.inBeforeImage(m.col) })
	}
	p.findLong()
	return p, nil
}

func (p *Plan) inBeforeImage(col int) bool {
	switch p.opts.BeforeImage.ColumnFilter {
	case FilterAll:
		return true
	case FilterNonLOB:
		return !isLOB(&p.table.Columns[col])
	}
	return slices.Contains(p.key, col)
}

// isLOB says whether DMS carries the column's type as a LOB.
func isLOB(c *schema.Column) bool {
	switch c.Type {
	case schema.JSON, schema.Geometry, schema.Vector:
		return true
	case schema.Text, schema.Blob:
		return c.Length >= lobBytes
	}
	return false
}

// render fills in the constant runs.
func (p *Plan) render() {
	f := p.opts.Format
	p.dataOpen = common(append(f.appendKey([]byte{'{'}, 1, false, "data"), '{'))
	p.objectEnd = common(f.appendClose(nil, 1))
	p.beforeOpen = append(f.appendKey(nil, 1, true, p.opts.beforeImageName()), '{')
	p.form = formOf(&p.opts)
	own := make([]*[]byte, 0, len(p.columns)+len(p.meta)) // texts that no other plan has
	for i := range p.columns {
		own = append(own, &p.columns[i].name)
	}
	for op := Load; op <= Delete; op++ {
		m := metadata{kind: p.keyKind(op)}
		m.keyed = p.opts.IncludePartitionValue && m.kind != KeySchemaTable
		m.toTime = append(f.appendKey(nil, 1, true, "metadata"), '{')
		m.toTime = append(f.appendKey(m.toTime, 2, false, "timestamp"), '"')
		m.toKey = f.appendMember([]byte{'"'}, 2, true, "record-type", "data")
		m.toKey = f.appendMember(m.toKey, 2, true, "operation", op.String())
		m.toKey = f.appendMember(m.toKey, 2, true, "partition-key-type", m.kind.String())
		if m.keyed {
			m.toKey = f.appendKey(m.toKey, 2, true, "partition-key-value")
		}
		m.toTime, m.toKey = common(m.toTime), common(m.toKey)
		m.toID = f.appendMember(m.toID, 2, true, "schema-name", p.table.Schema)
		m.toID = f.appendMember(m.toID, 2, true, "table-name", p.table.Name)
		if op != Load {
			m.toID = f.appendKey(m.toID, 2, true, "transaction-id")
		}
		p.meta[op] = m
		own = append(own, &p.meta[op].toID)
	}
	sideBySide(own)
}

func (p *Plan) rowLengthError(row [][]byte) error {
	return fmt.Errorf("row of %s has %d columns, its table definition has %d: they are not of the same version", p.fullName, len(row), len(p.table.Columns))
}
