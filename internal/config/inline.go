package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// inlineJSON is the JSON of a document that is written as YAML: a list of rules, or a group with the key rules.
// Dollar signs stand for themselves: ${column} belongs to DMS's own language there.
func inlineJSON(n *yaml.Node) ([]byte, error) {
	w := &jsonWriter{budget: 1 << 20}
	if err := w.node(n, 0); err != nil {
		return nil, err
	}
	if n.Kind == yaml.SequenceNode {
		return slices.Concat([]byte(`{"rules":`), w.Bytes(), []byte("}")), nil
	}
	return w.Bytes(), nil
}

// jsonWriter prints YAML nodes as JSON. Texts and numbers stay as they are written: a date is not made a timestamp.
// Its budget bounds what aliases of aliases can grow to.
type jsonWriter struct {
	bytes.Buffer
	budget int
}

var errInlineSize = errors.New("is too large or too deep: write it into a file of its own and name that")

func (w *jsonWriter) node(n *yaml.Node, depth int) error {
	if w.budget--; w.budget < 0 || depth > 64 || w.Len() > 16<<20 {
		return errInlineSize
	}
	switch n.Kind {
	case yaml.AliasNode:
		return w.node(n.Alias, depth+1)
	case yaml.SequenceNode:
		return w.list(n, depth)
	case yaml.MappingNode:
		return w.object(n, depth)
	}
	return w.scalar(n)
}

func (w *jsonWriter) list(n *yaml.Node, depth int) error {
	w.WriteByte('[')
	for i, item := range n.Content {
		if i > 0 {
			w.WriteByte(',')
		}
		if err := w.node(item, depth+1); err != nil {
			return err
		}
	}
	w.WriteByte(']')
	return nil
}

func (w *jsonWriter) object(n *yaml.Node, depth int) error {
	w.WriteByte('{')
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode || key.Value == "<<" {
			return fmt.Errorf("has a key on line %d that is not plain text: write name before the colon", key.Line)
		}
		if i > 0 {
			w.WriteByte(',')
		}
		w.text(key.Value)
		w.WriteByte(':')
		if err := w.node(n.Content[i+1], depth+1); err != nil {
			return err
		}
	}
	w.WriteByte('}')
	return nil
}

func (w *jsonWriter) scalar(n *yaml.Node) error {
	switch n.Tag {
	case "!!null":
		w.WriteString("null")
	case "!!bool":
		w.WriteString(strings.ToLower(n.Value))
	case "!!int", "!!float":
		if !json.Valid([]byte(n.Value)) || strings.ContainsAny(n.Value, "\"{[tfn") {
			return fmt.Errorf("has the number %s on line %d, which JSON can't hold: put it in quotes or write it in plain digits", strconv.Quote(n.Value), n.Line)
		}
		w.WriteString(n.Value)
	default:
		w.text(n.Value)
	}
	return nil
}

func (w *jsonWriter) text(s string) {
	b, _ := json.Marshal(s) // text always marshals
	w.Write(b)
}
