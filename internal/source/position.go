package source

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Position is a transaction boundary in a server's binary log. File and Offset mean something on the server named by
// ServerUUID only; GTIDSet, where the server has one, means the same everywhere in its replication group.
type Position struct {
	File       string `json:"file"`
	Offset     uint64 `json:"offset"`
	GTIDSet    string `json:"gtid_set,omitempty"`
	ServerUUID string `json:"server_uuid,omitempty"`

	// FileBegan is when the server began File, in Unix seconds; 0 if that is not known. With it a file can be told from one
	// that got the same name after the server was reset or restored.
	FileBegan int64 `json:"file_began,omitempty"`
}

// String is the position as operators write it: file:offset, followed by the GTID set if there is one, or that alone.
func (p Position) String() string {
	if p.File == "" && p.GTIDSet != "" {
		return p.GTIDSet
	}
	s := p.File + ":" + strconv.FormatUint(p.Offset, 10)
	if p.GTIDSet != "" {
		s += " (" + p.GTIDSet + ")"
	}
	return s
}

// IsZero reports whether the position says nothing.
func (p Position) IsZero() bool { return p.File == "" && p.GTIDSet == "" }

// Compare orders two positions of one server by file number, then offset. A position without a file, or with a file name
// that has no number, is before all others.
func (p Position) Compare(q Position) int {
	a, _ := FileNumber(p.File)
	b, _ := FileNumber(q.File)
	return cmp.Or(cmp.Compare(a, b), cmp.Compare(p.Offset, q.Offset))
}

// Before reports whether p comes before q on one server.
func (p Position) Before(q Position) bool { return p.Compare(q) < 0 }

// FileNumber is the numeric suffix of a binary log file name: 2171 for mysql-bin-changelog.002171. The suffix grows
// beyond six digits, so names must be compared by it and never as text.
func FileNumber(file string) (uint64, error) {
	i := strings.LastIndexByte(file, '.')
	n, err := strconv.ParseUint(file[i+1:], 10, 32)
	if i < 1 || err != nil {
		return 0, fmt.Errorf("binary log file name %q does not end in a dot and a number", file)
	}
	return n, nil
}
