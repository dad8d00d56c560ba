package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// formatName and formatVersion begin every stored document; docs/FORMATS.md describes the format.
const (
	formatName    = "binlogstreamer checkpoint"
	formatVersion = 1
)

// header is the first line of a stored document. The document's own bytes follow it.
type header struct {
	Format   string    `json:"format"`
	Version  int       `json:"version"`
	Name     string    `json:"name"`
	Revision Revision  `json:"revision"`
	Saved    time.Time `json:"saved"`
	Bytes    int       `json:"bytes"`  // length of the document
	SHA256   string    `json:"sha256"` // of header and document, with zeros in the place of these digits
}

var noSum = strings.Repeat("0", 2*sha256.Size)

// encodeDocument gives the bytes to store.
func encodeDocument(name string, rev Revision, saved time.Time, doc []byte) ([]byte, error) {
	h := header{
		Format: formatName, Version: formatVersion,
		Name: name, Revision: rev, Saved: saved.UTC(), Bytes: len(doc), SHA256: noSum,
	}
	line, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(line)+1+len(doc))
	out = append(append(append(out, line...), '\n'), doc...)
	sum := sha256.Sum256(out)
	at := bytes.LastIndex(line, []byte(noSum)) // the last field, so nothing in the name can be taken for it
	hex.Encode(out[at:], sum[:])
	return out, nil
}

// decodeDocument verifies stored bytes and gives the document in them. The error is the reason alone.
func decodeDocument(name string, stored []byte) (doc []byte, rev Revision, err error) {
	line, doc, found := bytes.Cut(stored, []byte("\n"))
	var h header
	switch {
	case len(stored) == 0:
		return nil, "", fmt.Errorf("the file is empty")
	case !found:
		return nil, "", fmt.Errorf("the header has no end")
	}
	if err := json.Unmarshal(line, &h); err != nil {
		return nil, "", fmt.Errorf("the header is not JSON: %w", err)
	}
	switch {
	case h.Format != formatName:
		return nil, "", fmt.Errorf("the header does not say %q", formatName)
	case h.Version > formatVersion:
		return nil, "", newerError(h.Version)
	case h.Version != formatVersion:
		return nil, "", fmt.Errorf("the header says version %d", h.Version)
	case h.Bytes != len(doc):
		return nil, "", fmt.Errorf("it holds %d bytes where %d were saved", len(doc), h.Bytes)
	case !sumHolds(line, doc, h.SHA256):
		return nil, "", fmt.Errorf("the checksum does not fit")
	case h.Name != name:
		return nil, "", fmt.Errorf("it belongs to the name %q", h.Name)
	case h.Revision == None:
		return nil, "", fmt.Errorf("it has no revision")
	}
	return doc, h.Revision, nil
}

func sumHolds(line, doc []byte, want string) bool {
	at := bytes.LastIndex(line, []byte(want))
	if len(want) != len(noSum) || at < 0 {
		return false
	}
	h := sha256.New()
	h.Write(line[:at])
	h.Write([]byte(noSum))
	h.Write(line[at+len(want):])
	h.Write([]byte("\n"))
	h.Write(doc)
	return hex.EncodeToString(h.Sum(nil)) == want
}

// newerError is the version of a document that a later release wrote.
type newerError int

func (e newerError) Error() string {
	return fmt.Sprintf("it was written in format version %d by a newer release, this one knows %d", int(e), formatVersion)
}

const newerCure = "run the release that wrote it, or a later one"
