package source

import (
	"context"
	"time"
)

// TLSMode says how a connection is protected; the modes are those of the mysql client's --ssl-mode.
type TLSMode string

// The TLS modes.
const (
	TLSDisabled       TLSMode = "disabled"
	TLSPreferred      TLSMode = "preferred"       // encrypt if the server can, verify nothing
	TLSRequired       TLSMode = "required"        // encrypt or fail, verify nothing
	TLSVerifyCA       TLSMode = "verify-ca"       // and the certificate must come from a known authority
	TLSVerifyIdentity TLSMode = "verify-identity" // and be made out to the host that was dialled
)

// Config says how to reach a server.
type Config struct {
	Host     string // name or address, or the path of a Unix socket
	Port     uint16 // default 3306
	User     string
	Password func(context.Context) (string, error) // asked at every connect, so that secrets may rotate; nil: no password

	TLS            TLSMode // default preferred
	TLSCA          string  // file of PEM certificates; "": the system's authorities
	TLSCert        string  // client certificate and key files, both or neither
	TLSKey         string
	ConnectTimeout time.Duration // for dial, TLS and login together; default 10s
}
