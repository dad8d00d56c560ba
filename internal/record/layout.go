package record

// The bytes between the values. DMS's records look as cJSON prints them, formatted (newlines, tabs, a tab after the
// colon) or unformatted; these helpers are the only place that knows the difference.

func (f Format) appendBreak(dst []byte, depth int) []byte {
	if f != JSON {
		return dst
	}
	dst = append(dst, '\n')
	for range depth {
		dst = append(dst, '\t')
	}
	return dst
}

// appendKey appends a member's name, up to where its value begins, in an object whose members stand at depth.
// more says that a member precedes it.
func (f Format) appendKey(dst []byte, depth int, more bool, name string) []byte {
	if more {
		dst = append(dst, ',')
	}
	dst = f.appendBreak(dst, depth)
	dst = appendString(dst, name)
	dst = append(dst, ':')
	if f == JSON {
		dst = append(dst, '\t')
	}
	return dst
}

// appendMember appends a member whose value is a string.
func (f Format) appendMember(dst []byte, depth int, more bool, name, value string) []byte {
	return appendString(f.appendKey(dst, depth, more, name), value)
}

// appendClose ends an object whose members stand at depth+1. As in cJSON its brace begins a line, even if the object
// is empty.
func (f Format) appendClose(dst []byte, depth int) []byte {
	return append(f.appendBreak(dst, depth), '}')
}

// appendNames appends an array of strings.
func (f Format) appendNames(dst []byte, names []string) []byte {
	dst = append(dst, '[')
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
			if f == JSON {
				dst = append(dst, ' ')
			}
		}
		dst = appendString(dst, name)
	}
	return append(dst, ']')
}

// appendEnd ends the record: the last brace, and the newline of unformatted records.
func (f Format) appendEnd(dst []byte) []byte {
	dst = f.appendClose(dst, 0)
	if f == JSONUnformatted {
		dst = append(dst, '\n')
	}
	return dst
}
