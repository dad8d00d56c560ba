package check

import (
	"context"
	"fmt"
	"strconv"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// serverID looks for another replica, or the source itself, with our server id: the server would cut one of the two
// off whenever the other one connects.
func (c *sourceCheck) serverID(ctx context.Context) {
	const item = "server id"
	own := c.ServerID
	const cure = "set source.server_id to a number that SHOW REPLICAS (SHOW SLAVE HOSTS) does not list, or leave the key out"
	if own == c.server.ServerID {
		c.add(Fail, item, fmt.Sprintf("%d is the source's own", own), cure)
		return
	}
	if c.server.ServerID == 0 {
		c.add(Fail, item, "the source's own is 0, so it serves no replica", "SET GLOBAL server_id = 1; -- and in the option file")
		return
	}
	replicas, err := c.replicas(ctx)
	if err != nil {
		c.add(Warn, item, fmt.Sprintf("%d; whether another replica uses it can't be seen: %v", own, err), "")
		return
	}
	for _, r := range replicas {
		if r.id == own {
			if c.running {
				c.ok(item, "%d, in use by a replica%s: this pipeline, which is running", own, r.host)
				return
			}
			c.add(Fail, item, fmt.Sprintf("%d is in use by a replica%s", own, r.host), cure)
			return
		}
	}
	c.ok(item, "%d, and no other of %d replicas uses it", own, len(replicas))
}

type replica struct {
	id   uint32
	host string
}

func (c *sourceCheck) replicas(ctx context.Context) ([]replica, error) {
	query := "SHOW SLAVE HOSTS"
	if c.server.Flavor == source.MySQL && c.server.VersionAtLeast(8, 0, 22) {
		query = "SHOW REPLICAS"
	}
	r, err := source.Query(ctx, c.conn, query)
	if err != nil || r.Resultset == nil {
		return nil, err
	}
	return readReplicas(r), nil
}

func readReplicas(r *mysql.Result) (out []replica) {
	for row := range r.Values {
		id, err := strconv.ParseUint(text(r, row, 0), 10, 32)
		if err != nil {
			continue
		}
		one := replica{id: uint32(id)}
		if host := text(r, row, 1); host != "" {
			one.host = " on " + host
		}
		out = append(out, one)
	}
	return out
}
