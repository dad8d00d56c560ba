package source

// Error is a failed step of talking to the server.
type Error struct {
	Step string // what was being done, e.g. "connect to db.example.com:3306"
	Err  error
	Hint string // what the operator can do; "" if there is nothing to say
}

func (e *Error) Error() string {
	s := e.Step + ": " + e.Err.Error()
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }
