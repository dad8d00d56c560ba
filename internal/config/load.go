package config

import (
	"bytes"
	"errors"
	"io"
	"os"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Load reads the file at path and the documents it points to, for the given halves. A path env:NAME is the text of the
// environment variable NAME, for containers that have no files of their own. Settings of a half that is not
// asked for are read, but neither their variables nor their relations matter, so that both halves can share a file
// on different machines. The error of a file that can't be used is a *Faults with everything that is wrong with it.
func Load(path string, env Lookup, halves Half) (*Pipeline, error) {
	text, err := read(path, env)
	if err != nil {
		return nil, &Faults{File: path, List: []Fault{{Problem: "can't be read: " + cause(err), Cure: "name the file with -c, or env:NAME for the text of an environment variable"}}}
	}
	return Parse(path, text, env, halves)
}

// Parse is Load for a text that has been read from path.
func Parse(path string, text []byte, env Lookup, halves Half) (*Pipeline, error) {
	p := defaults()
	p.File = path
	faults := &Faults{File: path}
	root, ok := parseYAML(faults, text)
	if !ok {
		return nil, faults
	}
	if halves == Present {
		halves = present(root)
	}
	p.Halves, p.at = halves, map[string]place{}

	d := &decoder{faults: faults, env: env, needed: halves.needs, at: p.at, unread: map[string]bool{}}
	d.value("", root, reflect.ValueOf(p).Elem())
	check := &checker{decoder: d, Pipeline: p, dir: folder(path)}
	check.all()
	if err := faults.orNil(); err != nil {
		return nil, err
	}
	return p, nil
}

// parseYAML reads the one document of a file.
func parseYAML(faults *Faults, text []byte) (*yaml.Node, bool) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		faults.add(Fault{Problem: "is empty", Cure: "start from deploy/examples/pipeline.yaml"})
		return nil, false
	case err != nil:
		faults.add(Fault{Problem: "is not YAML: " + strings.TrimPrefix(err.Error(), "yaml: "), Cure: "indent with spaces, and quote texts that hold a colon followed by a space"})
		return nil, false
	}
	var more yaml.Node
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		faults.add(Fault{Line: more.Line, Problem: "has a second document behind ---", Cure: "keep one pipeline a file"})
		return nil, false
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		faults.add(Fault{Line: doc.Line, Problem: "does not hold keys at its top", Cure: "start from deploy/examples/pipeline.yaml"})
		return nil, false
	}
	return doc.Content[0], true
}

// present is the halves whose sections stand in the file; both if neither does, so that they are missed.
func present(root *yaml.Node) (h Half) {
	for i := 0; i < len(root.Content); i += 2 {
		switch root.Content[i].Value {
		case "source", "replication":
			h |= Replicate
		case "delivery":
			h |= Deliver
		}
	}
	if h == 0 {
		return Both
	}
	return h
}

// needs says whether a key matters for the halves.
func (h Half) needs(path string) bool {
	section, _, _ := strings.Cut(path, ".")
	switch h {
	case Console:
		return section == "http" && path != "http.token"
	case Control:
		return section == "http"
	}
	switch section {
	case "source", "replication":
		return h&Replicate != 0
	case "delivery":
		return h&Deliver != 0
	}
	return true
}

// cause is what the operating system says of a file, without repeating its name.
func cause(err error) string {
	if pathErr, ok := errors.AsType[*os.PathError](err); ok {
		return pathErr.Err.Error()
	}
	return err.Error()
}
