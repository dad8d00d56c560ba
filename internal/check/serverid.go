package check

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
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
	replicas, user, err := c.lookForID(ctx, own)
	switch {
	case c.server.Flavor == source.MariaDB && isDenied(err):
		// MariaDB since 10.5 asks for a privilege here that nothing else of the pipeline needs.
		c.add(Warn, item, fmt.Sprintf("%d; this user may not see whether another replica uses it", own),
			"look at SHOW SLAVE HOSTS as an administrator, or GRANT REPLICATION MASTER ADMIN to this user; no run needs it")
	case err != nil:
		c.add(Warn, item, fmt.Sprintf("%d; whether another replica uses it can't be seen: %v", own, err), "")
	case user == nil:
		c.ok(item, "%d, and no other of %d replicas uses it", own, replicas)
	case c.running:
		c.ok(item, "%d, in use by a replica%s: this pipeline, which is running", own, user.host)
	default:
		c.add(Fail, item, fmt.Sprintf("%d is in use by a replica%s", own, user.host), cure)
	}
}

// A replica that has ended stays listed until the server's next attempt to send it something.
const (
	idLooks = 6
	idPause = 500 * time.Millisecond
)

// lookForID finds the replica that uses an id, if it goes on doing so.
func (c *sourceCheck) lookForID(ctx context.Context, id uint32) (replicas int, user *replica, err error) {
	for look := range idLooks {
		if look > 0 {
			if err := backoff.Sleep(ctx, idPause); err != nil {
				return 0, nil, err
			}
		}
		list, err := c.replicas(ctx)
		if err != nil {
			return 0, nil, err
		}
		i := slices.IndexFunc(list, func(r replica) bool { return r.id == id })
		if i < 0 {
			return len(list), nil, nil
		}
		replicas, user = len(list), &list[i]
		if c.running {
			break
		}
	}
	return replicas, user, nil
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
