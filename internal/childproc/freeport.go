package childproc

import (
	"fmt"
	"net"
)

// FreePort returns a loopback TCP port that nothing listens on now. Another program may take it before the child
// does; callers that can should try again with a new one.
func FreePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free loopback port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
