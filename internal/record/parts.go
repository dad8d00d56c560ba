package record

// Parts are the members of a data record that hold values, as they stand in it.
type Parts struct {
	Data   []byte // the object under data
	Before []byte // the before-image, whatever its name; nil if there is none
}

// Split finds the values of a record. They are slices of data.
func Split(data []byte) (p Parts, err error) {
	_, err = eachMember(data, skipSpace(data, 0), func(key []byte, start, end int) error {
		switch {
		case keyIs(key, "data"):
			p.Data = data[start:end]
		case keyIs(key, "metadata"), keyIs(key, "control"):
		default:
			p.Before = data[start:end]
		}
		return nil
	})
	return p, err
}

// EachMember calls fn with each member of a JSON object, the key with its quotes and the value as they stand there.
func EachMember(object []byte, fn func(key, value []byte) error) error {
	_, err := eachMember(object, skipSpace(object, 0), func(key []byte, start, end int) error {
		return fn(key, object[start:end])
	})
	return err
}

// KeyIs compares a key as EachMember gives it with a name, escapes or not.
func KeyIs(key []byte, name string) bool { return keyIs(key, name) }

// NextValue gives the JSON value that data begins with, and what stands behind it: nil if there is no whole value.
func NextValue(data []byte) (value, rest []byte) {
	start := skipSpace(data, 0)
	end, ok := skipValue(data, start)
	if !ok {
		return nil, data
	}
	return data[start:end], data[end:]
}
