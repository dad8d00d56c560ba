package localstream

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/localstream/shardlog"
)

// tokenLife is how long an iterator or a page token is good for.
const tokenLife = 5 * time.Minute

// iterator is what a ShardIterator says. All of it travels in the token, so that it means the same to whichever
// process serves.
type iterator struct {
	Issued  int64 // Unix milliseconds
	Stream  string
	Created int64 // of the stream
	Shard   int
	Cursor  shardlog.Cursor
}

// pageToken is what a NextToken of ListShards or ListStreams says.
type pageToken struct {
	Issued  int64
	Stream  string `json:",omitempty"`
	Created int64  `json:",omitempty"`
	After   string // the last shard or stream of the page
	Filter  shardFilter
}

var errBadToken = errors.New("the token was not issued by this stream")

// encodeToken and decodeToken carry any of the two. The checksum catches damage, not forgery: a token gives nothing
// that its holder could not ask for plainly, and what it says is checked before use.
func encodeToken(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // the types above always marshal
	}
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b)))
}

func decodeToken(text string, v any) error {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) < 4 {
		return errBadToken
	}
	b, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.ChecksumIEEE(b) != sum || json.Unmarshal(b, v) != nil {
		return errBadToken
	}
	return nil
}
