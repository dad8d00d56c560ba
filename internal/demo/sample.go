package demo

import (
	"context"
	"slices"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink/stored"
)

// lookAt sums up the objects in a folder, and finds a record that is worth looking at: the newest sale, or, before the
// first one, any. It says nothing about whether they are right: what cannot be read is passed over.
func lookAt(ctx context.Context, dir string) (size int64, sample []byte, err error) {
	folder := stored.Folder{Dir: dir}
	var items []stored.Item
	err = folder.List(ctx, "", func(item stored.Item) error {
		size += item.Size
		items = append(items, item)
		return nil
	})
	if err != nil {
		return 0, nil, err
	}
	slices.SortFunc(items, func(a, b stored.Item) int { return b.Modified.Compare(a.Modified) })
	for _, item := range items {
		found, sale := newestSale(ctx, folder, item.Key)
		if sale {
			return size, found, nil
		}
		if sample == nil {
			sample = found
		}
	}
	return size, sample, nil
}

// newestSale is the last insert of an object, or else its last change or load.
func newestSale(ctx context.Context, folder stored.Folder, key string) (found []byte, sale bool) {
	in, err := stored.OpenRecords(ctx, folder, key, s3sink.Meta{})
	if err != nil {
		return nil, false
	}
	defer in.Close()
	for {
		data, err := in.Next()
		if err != nil {
			return found, sale
		}
		h, err := record.Parse(data)
		if err != nil || h.RecordType != "data" {
			continue
		}
		if insert := h.Op() == record.Insert; insert || !sale {
			found, sale = append(found[:0], data...), insert
		}
	}
}
