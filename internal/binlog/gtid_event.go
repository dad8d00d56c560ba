package binlog

import (
	"bytes"
	"strconv"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
)

// gtidReader reads the events that stand in front of MySQL's transactions. One server after another, but mostly a single
// one, has written them: what is the same for all of its transactions is written once.
type gtidReader struct {
	event replication.GtidTaggedLogEvent // the last one; its SID is valid while the event's bytes are

	sid    [16]byte
	tag    mysql.Tag
	prefix []byte // of the GTIDs of sid and tag; empty: of none yet
	buf    []byte
}

func (g *gtidReader) decode(e *event) error {
	g.event = replication.GtidTaggedLogEvent{} // an older server's event is shorter, and leaves the rest as it is
	if e.kind == replication.GTID_TAGGED_LOG_EVENT {
		return decode(&g.event, e.body)
	}
	return decode(&g.event.GTIDEvent, e.body)
}

// text is the GTID in the server's notation.
func (g *gtidReader) text() string {
	if len(g.prefix) == 0 || g.tag != g.event.Tag || !bytes.Equal(g.sid[:], g.event.SID) {
		copy(g.sid[:], g.event.SID)
		g.tag = g.event.Tag
		g.prefix = append(appendUUID(g.prefix[:0], g.event.SID), ':')
		if tag := g.tag.String(); tag != "" {
			g.prefix = append(append(g.prefix, tag...), ':')
		}
	}
	g.buf = strconv.AppendInt(append(g.buf[:0], g.prefix...), g.event.GNO, 10)
	return string(g.buf)
}
