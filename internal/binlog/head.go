package binlog

import (
	"context"
	"fmt"
	"time"

	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// Head is what stands at the start of a log file.
type Head struct {
	Began int64    // when the server began the file, in Unix seconds; with the file's name it tells the file from all others
	Set   *GTIDSet // every transaction of the files before it; nil if it does not say
}

// Time is when the file begins.
func (h Head) Time() time.Time { return time.Unix(h.Began, 0).UTC() }

// glance opens a dump from the start of a file that ends at the present end of the log. It takes no server id, so that
// the server neither lists it as a replica nor ends another dump for it.
func glance(ctx context.Context, cfg source.Config, server source.Server, file string) (packets *source.Packets, done func(), err error) {
	conn, err := source.Connect(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	end := closeWith(ctx, conn)
	p, err := dumpLog(ctx, conn, server, file, fileHeader)
	if err != nil {
		end()
		return nil, nil, err
	}
	p.SetTimeout(searchTimeout)
	return p, end, nil
}

// ReadHead reads the start of one log file, on a connection of its own.
func ReadHead(ctx context.Context, cfg source.Config, server source.Server, file string) (Head, error) {
	p, done, err := glance(ctx, cfg, server, file)
	if err != nil {
		return Head{}, err
	}
	defer done()
	h, err := readHead(p, server.Flavor)
	if err == nil && h.Began == 0 {
		err = fmt.Errorf("%w: it has no format description", ErrCorrupt)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return Head{}, fmt.Errorf("read the start of log file %s: %w", file, err)
	}
	return h, nil
}

func readHead(p *source.Packets, flavor source.Flavor) (h Head, err error) {
	checksum := false
	for {
		data, err := p.Next()
		if err != nil {
			return h, err
		}
		if my, ok := source.IsError(data); ok {
			return h, dumpRefused(my)
		}
		if source.IsEOF(data) || len(data) == 0 {
			return h, nil
		}
		e, err := parseHeader(data[1:])
		if err != nil {
			return h, err
		}
		switch e.kind {
		case replication.ROTATE_EVENT, replication.HEARTBEAT_EVENT, replication.MARIADB_START_ENCRYPTION_EVENT, replication.MARIADB_BINLOG_CHECKPOINT_EVENT:
			continue
		case replication.FORMAT_DESCRIPTION_EVENT:
			h.Began = int64(e.time)
			n := len(e.body) - checksumSize - 1
			checksum = n >= 0 && e.body[n] == byte(replication.BINLOG_CHECKSUM_ALG_CRC32)
			continue
		}
		if checksum {
			if err := e.dropChecksum(data[1:]); err != nil {
				return h, err
			}
		}
		h.Set, err = previousSet(&e, flavor)
		return h, err
	}
}

// previousSet reads the set that a file begins with; nil if the event is another one.
func previousSet(e *event, flavor source.Flavor) (*GTIDSet, error) {
	switch e.kind {
	case replication.PREVIOUS_GTIDS_EVENT:
		var p replication.PreviousGTIDsEvent
		if err := decode(&p, e.body); err != nil {
			return nil, err
		}
		return ParseGTIDSet(flavor, p.GTIDSets)
	case replication.MARIADB_GTID_LIST_EVENT:
		var l replication.MariadbGTIDListEvent
		if err := decode(&l, e.body); err != nil {
			return nil, err
		}
		set, err := ParseGTIDSet(flavor, "")
		for _, g := range l.GTIDs {
			if err == nil {
				err = set.Add(string(appendMariaGTID(nil, g.DomainID, g.ServerID, g.SequenceNumber)))
			}
		}
		return set, err
	}
	return nil, nil
}
