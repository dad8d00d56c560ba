package faultproxy

import (
	"fmt"
	"net/http"
	"strings"
)

// Service is how a service is spoken with.
type Service struct {
	name   string
	call   func(*http.Request) string
	refuse func(w http.ResponseWriter, r *http.Request, pl plan)
}

// The services.
var (
	Kinesis  = Service{"Kinesis", target, refuseJSON("application/x-amz-json-1.1", "")}
	DynamoDB = Service{"DynamoDB", target, refuseJSON("application/x-amz-json-1.0", "com.amazonaws.dynamodb.v20120810#")}
	S3       = Service{"S3", func(r *http.Request) string { return r.Method }, refuseXML}
)

// target is the operation of a JSON service.
func target(r *http.Request) string {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	return operation
}

// refuseJSON answers with an error as the JSON services have it.
func refuseJSON(contentType, namespace string) func(http.ResponseWriter, *http.Request, plan) {
	return func(w http.ResponseWriter, _ *http.Request, pl plan) {
		status, code := http.StatusInternalServerError, "InternalFailure"
		switch {
		case pl.fault == Throttle:
			status, code = http.StatusBadRequest, namespace+"ProvisionedThroughputExceededException"
		case pl.fault == ExpireIterator:
			status, code = http.StatusBadRequest, "ExpiredIteratorException"
		case namespace != "":
			code = namespace + "InternalServerError"
		case pl.random.IntN(3) == 0:
			status, code = http.StatusServiceUnavailable, "ServiceUnavailable"
		}
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"__type":%q,"message":"a fault that was asked for"}`, code)
	}
}

// refuseXML answers with an error as S3 has it.
func refuseXML(w http.ResponseWriter, r *http.Request, pl plan) {
	status, code := http.StatusInternalServerError, "InternalError"
	switch {
	case pl.fault == Throttle:
		status, code = http.StatusServiceUnavailable, "SlowDown"
	case pl.fault == Conflict:
		status, code = http.StatusConflict, "ConditionalRequestConflict"
	case pl.random.IntN(2) == 0:
		status, code = http.StatusServiceUnavailable, "ServiceUnavailable"
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>a fault that was asked for</Message></Error>`, code)
	}
}
