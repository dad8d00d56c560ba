package localstream

import (
	"errors"
	"fmt"
	"net/http"
)

// apiError is an answer in the shape that the SDKs turn into their typed errors.
type apiError struct {
	Type    string `json:"__type"`
	Message string `json:"message"`
	status  int
	cause   error // of an internal failure: for the log, not for the caller
}

func (e *apiError) Error() string { return e.Type + ": " + e.Message }

func (e *apiError) Unwrap() error { return e.cause }

func fault(kind, format string, args ...any) *apiError {
	return &apiError{Type: kind, Message: fmt.Sprintf(format, args...), status: http.StatusBadRequest}
}

func invalidArgument(format string, args ...any) *apiError {
	return fault("InvalidArgumentException", format, args...)
}

func notFound(format string, args ...any) *apiError {
	return fault("ResourceNotFoundException", format, args...)
}

// internal is the answer for what is our fault or the disk's. The SDKs try again by themselves.
func internal(err error) *apiError {
	return &apiError{Type: "InternalFailure", Message: "the embedded stream could not do this: " + err.Error(),
		status: http.StatusInternalServerError, cause: err}
}

// asAPIError turns any error into an answer.
func asAPIError(err error) *apiError {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e
	}
	return internal(err)
}
