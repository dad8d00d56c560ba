package localstream

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/localstream/shardlog"
)

// sweep removes what is past its stream's retention: segments, and closed shards.
func (s *store) sweep() error {
	var errs []error
	for _, name := range s.names() {
		st, err := s.lookup(name)
		if err != nil {
			continue // deleted meanwhile
		}
		before := s.now().Add(-time.Duration(st.meta.RetentionHours) * time.Hour).UnixMilli()
		expired := false
		for _, sh := range st.shards {
			n, err := sh.log.Trim(before)
			if err != nil && !errors.Is(err, shardlog.ErrClosed) {
				errs = append(errs, fmt.Errorf("shard %s of stream %s: %w", shardID(sh.meta.Number), name, err))
			}
			if n > 0 {
				s.logger.Info("removed expired segments", "stream", name, "shard", shardID(sh.meta.Number), "segments", n)
			}
			expired = expired || sh.expired(before)
		}
		if expired {
			errs = append(errs, s.dropExpired(st, before))
		}
	}
	return errors.Join(errs...)
}

// expired says whether sh is a closed shard of which nothing is left.
func (sh *shard) expired(before int64) bool {
	b := sh.log.Bounds()
	return !sh.meta.open() && sh.meta.Closed < before && b.First == b.Next
}

func (s *store) dropExpired(st *stream, before int64) error {
	gone := func(sm shardMeta) bool {
		sh := st.shard(sm.Number)
		return sh != nil && sh.expired(before)
	}
	err := s.update(st.meta.Name, func(m *streamMeta) error {
		if m.Created != st.meta.Created {
			return notFound("Stream %s was replaced.", m.Name)
		}
		m.Shards = slices.DeleteFunc(m.Shards, gone)
		return nil
	})
	if err != nil {
		return fmt.Errorf("forget the expired shards of stream %s: %w", st.meta.Name, err)
	}
	for _, sm := range st.meta.Shards {
		if gone(sm) {
			err = errors.Join(err, os.RemoveAll(s.shardDir(st.meta, sm.Number)))
		}
	}
	return err
}
