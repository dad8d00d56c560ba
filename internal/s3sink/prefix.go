package s3sink

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// prefix is a compiled key prefix in Firehose's grammar: text and expressions of the form !{namespace:value}.
type prefix []prefixPart

type prefixPart struct {
	text   string
	date   datePattern
	random bool
	kind   bool   // firehose:error-output-type
	key    string // partitionKeyFromQuery
	own    bool   // its value may differ from record to record of a run
}

// evaluation is what the expressions of a prefix stand for.
type evaluation struct {
	at     time.Time
	seed   []byte   // of random strings
	kind   string   // of error output
	values []string // of the parts that are the record's own, in their order
}

// defaultDate is what Firehose appends to a prefix that has no expression.
const defaultDate = "yyyy/MM/dd/HH/"

// maxPrefix is the most characters an evaluated prefix may have.
const maxPrefix = 512

// randomSize is the length of a !{firehose:random-string}.
const randomSize = 11

// parsePrefix reads the prefix of objects, or that of error output.
func parsePrefix(s string, forErrors bool) (prefix, error) {
	var p prefix
	rest := s
	for {
		text, expr, found := strings.Cut(rest, "!{")
		if text != "" {
			p = append(p, prefixPart{text: text})
		}
		if !found {
			break
		}
		expr, after, closed := cutExpression(expr)
		if !closed {
			return nil, fmt.Errorf("prefix %q: !{ begins an expression that does not end: add } or remove !{", s)
		}
		part, err := parseExpression(expr, forErrors)
		if err != nil {
			return nil, fmt.Errorf("prefix %q: %w", s, err)
		}
		p = append(p, part)
		rest = after
	}
	if !p.evaluated() {
		date, err := parseDatePattern(defaultDate)
		if err != nil {
			return nil, err
		}
		if forErrors {
			p = append(p, prefixPart{kind: true})
		}
		p = append(p, prefixPart{date: date})
	}
	sample := p.format(evaluation{at: time.Unix(0, 0).UTC(), kind: strings.Repeat("x", 32), values: slices.Repeat([]string{"x"}, len(p))})
	if n := utf8.RuneCountInString(sample); n > maxPrefix {
		return nil, fmt.Errorf("prefix %q: it evaluates to %d characters, at most %d are allowed", s, n, maxPrefix)
	}
	if err := checkPath(sample); err != nil {
		return nil, fmt.Errorf("prefix %q: %w", s, err)
	}
	return p, nil
}

// cutExpression cuts behind the brace that closes an expression; a brace in single quotes does not.
func cutExpression(s string) (expr, rest string, ok bool) {
	inQuotes := false
	for i := range len(s) {
		switch {
		case s[i] == '\'':
			inQuotes = !inQuotes
		case s[i] == '}' && !inQuotes:
			return s[:i], s[i+1:], true
		}
	}
	return "", "", false
}

func parseExpression(expr string, forErrors bool) (prefixPart, error) {
	space, value, _ := strings.Cut(expr, ":")
	switch {
	case space == "timestamp" && value != "":
		date, err := parseDatePattern(value)
		return prefixPart{date: date}, err
	case expr == "firehose:random-string":
		return prefixPart{random: true}, nil
	case expr == "firehose:error-output-type" && forErrors:
		return prefixPart{kind: true}, nil
	case expr == "firehose:error-output-type":
		return prefixPart{}, errors.New("!{firehose:error-output-type} is for error_output_prefix only")
	case space == "partitionKeyFromQuery" && forErrors:
		return prefixPart{}, fmt.Errorf("!{%s} is for prefix only: what is stored here has no partition", expr)
	case space == "partitionKeyFromQuery" && value != "":
		return prefixPart{key: value, own: true}, nil
	case space == "partitionKeyFromLambda":
		return prefixPart{}, fmt.Errorf("!{%s} needs a Lambda transformation, which there is none: use !{partitionKeyFromQuery:%s}", expr, value)
	}
	return prefixPart{}, fmt.Errorf("!{%s} is not known: use !{timestamp:yyyy/MM/dd} or !{firehose:random-string}", expr)
}

// evaluated reports whether there is any expression in the prefix.
func (p prefix) evaluated() bool {
	for _, part := range p {
		if part.text == "" {
			return true
		}
	}
	return false
}

// literal is the text before the first expression: the part of all keys that never changes.
func (p prefix) literal() string {
	if len(p) > 0 {
		return p[0].text
	}
	return ""
}

// LiteralPrefix is the text that all keys of a prefix in Firehose's grammar begin with.
func LiteralPrefix(s string) string {
	text, _, _ := strings.Cut(s, "!{")
	return text
}

// format evaluates the prefix. Firehose draws its random strings; ours follow from the seed, so that the same run
// always has the same key.
func (p prefix) format(e evaluation) string {
	var b strings.Builder
	draws, own := byte(0), 0
	for _, part := range p {
		switch {
		case part.own:
			if own < len(e.values) {
				b.WriteString(e.values[own])
			}
			own++
		case part.random:
			b.WriteString(randomString(e.seed, draws))
			draws++
		case part.kind:
			b.WriteString(e.kind)
		case part.text != "":
			b.WriteString(part.text)
		default:
			b.WriteString(part.date.format(e.at))
		}
	}
	return b.String()
}

// keys are the names of the partition keys in the prefix, each once.
func (p prefix) keys() []string {
	var names []string
	for _, part := range p {
		if part.key != "" && !slices.Contains(names, part.key) {
			names = append(names, part.key)
		}
	}
	return names
}

// checkPath refuses what means something else to a file system, or to some client of an object store, than its
// letters say.
func checkPath(s string) error {
	if !utf8.ValidString(s) {
		return errors.New("it is not valid UTF-8")
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return errors.New("it holds a control character")
	}
	for segment := range strings.SplitSeq(s, "/") {
		switch {
		case segment == "." || segment == "..":
			return fmt.Errorf("it has the path segment %q", segment)
		case segment == hiddenDir:
			return fmt.Errorf("it has the path segment %q, which is where this program keeps its own files", segment)
		}
	}
	return nil
}

func randomString(seed []byte, draw byte) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	sum := sha256.Sum256(append(append([]byte(nil), seed...), draw))
	out := make([]byte, randomSize)
	for i := range out {
		out[i] = letters[int(sum[i])%len(letters)]
	}
	return string(out)
}
