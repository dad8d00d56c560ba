package s3sink

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"
)

// prefix is a compiled key prefix in Firehose's grammar: text and expressions of the form !{namespace:value}.
type prefix []prefixPart

type prefixPart struct {
	text   string
	date   datePattern
	random bool
	kind   bool // firehose:error-output-type
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
	if sample := p.format(time.Unix(0, 0).UTC(), nil, strings.Repeat("x", 32)); len(sample) > maxPrefix {
		return nil, fmt.Errorf("prefix %q: it evaluates to %d characters, at most %d are allowed", s, len(sample), maxPrefix)
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
	case space == "partitionKeyFromQuery" || space == "partitionKeyFromLambda":
		return prefixPart{}, fmt.Errorf("!{%s} needs dynamic partitioning, which is not supported: use timestamp expressions", expr)
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

// format evaluates the prefix. Firehose draws its random strings; ours follow from seed, so that the same run always
// has the same key.
func (p prefix) format(t time.Time, seed []byte, errorKind string) string {
	var b strings.Builder
	draws := byte(0)
	for _, part := range p {
		switch {
		case part.random:
			b.WriteString(randomString(seed, draws))
			draws++
		case part.kind:
			b.WriteString(errorKind)
		case part.text != "":
			b.WriteString(part.text)
		default:
			b.WriteString(part.date.format(t))
		}
	}
	return b.String()
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
