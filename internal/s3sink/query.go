package s3sink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"

	"github.com/itchyny/gojq"
)

// query is a metadata extraction query: a jq program that makes one object of a record.
type query struct {
	code   *gojq.Code
	static bool     // the program is an object in braces, so that all it can make is known
	names  []string // what it makes, as far as that is known
}

// unsteady are the jq functions whose result depends on more than their input. A record must have the same partition
// for whoever asks, and whenever.
var unsteady = []string{
	"now", "localtime", "strflocaltime", "env", "$ENV", "input", "inputs", "input_filename", "input_line_number",
	"get_search_list", "halt", "halt_error",
}

// newQuery compiles a program.
func newQuery(text string) (*query, error) {
	parsed, err := gojq.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("it is not a jq program (%w): write an object such as {customer: .data.customer_id}", err)
	}
	if name := findUnsteady(reflect.ValueOf(parsed)); name != "" {
		return nil, fmt.Errorf("%s gives another result elsewhere or later, and a record must always have the same partition: use what the record says", name)
	}
	q := &query{}
	if q.code, err = gojq.Compile(parsed); err != nil {
		return nil, fmt.Errorf("it cannot be compiled: %w", err)
	}
	q.static = parsed.Term != nil && parsed.Term.Type == gojq.TermTypeObject && len(parsed.Term.SuffixList) == 0 && len(parsed.FuncDefs) == 0
	if !q.static {
		return q, nil
	}
	for _, kv := range parsed.Term.Object.KeyVals {
		switch {
		case kv.Key != "" && kv.Key[0] != '$':
			q.names = append(q.names, kv.Key)
		case kv.KeyString != nil && kv.KeyString.Queries == nil:
			q.names = append(q.names, kv.KeyString.Str)
		default:
			q.static = false // a computed name
		}
	}
	return q, nil
}

// findUnsteady looks for calls of such functions anywhere in a program.
func findUnsteady(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return ""
		}
		if f, ok := v.Interface().(*gojq.Func); ok && slices.Contains(unsteady, f.Name) {
			return f.Name
		}
		return findUnsteady(v.Elem())
	case reflect.Slice:
		for i := range v.Len() {
			if name := findUnsteady(v.Index(i)); name != "" {
				return name
			}
		}
	case reflect.Struct:
		for _, f := range v.Fields() {
			if name := findUnsteady(f); name != "" {
				return name
			}
		}
	}
	return ""
}

// run makes the record's object.
func (q *query) run(data []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var in any
	if err := d.Decode(&in); err != nil {
		return nil, fmt.Errorf("the record is not JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the record is not one JSON document")
	}
	results := q.code.RunWithContext(&steps{Context: context.Background(), left: maxSteps}, in)
	first, ok := results.Next()
	if !ok {
		return nil, errors.New("the query makes nothing of the record")
	}
	if err, failed := first.(error); failed {
		return nil, fmt.Errorf("the query fails: %w", err)
	}
	if second, more := results.Next(); more {
		if err, failed := second.(error); failed {
			return nil, fmt.Errorf("the query fails: %w", err)
		}
		return nil, errors.New("the query makes more than one object of the record")
	}
	object, ok := first.(map[string]any)
	if !ok {
		return nil, errors.New("the query makes no object of the record")
	}
	return object, nil
}

// maxSteps is how many instructions a query may take for one record. A plain object takes some 20, and one that looks at
// each of a thousand columns some 20,000.
const maxSteps = 1_000_000

// steps ends a query that has no end. gojq asks its context before every instruction whether it is done. Were it done
// after a time, a record could have a partition on one machine and none on another, and be stored twice or not at all.
type steps struct {
	context.Context

	left int
}

// Done counts an instruction.
func (s *steps) Done() <-chan struct{} {
	if s.left--; s.left < 0 {
		return stopped
	}
	return nil
}

// Err is why the query was ended.
func (s *steps) Err() error { return errNoEnd }

var (
	errNoEnd = fmt.Errorf("it is not at its end after %d steps", maxSteps)
	stopped  = func() chan struct{} { c := make(chan struct{}); close(c); return c }()
)

// text is the text of a partition key's value.
func text(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", errNoValue
	case string:
		return v, nil
	case map[string]any, []any:
		return "", errors.New("is an object or an array")
	}
	b, err := gojq.Marshal(v)
	return string(b), err
}

var errNoValue = errors.New("is null or missing")
