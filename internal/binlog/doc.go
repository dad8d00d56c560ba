// Package binlog reads a server's binary log as a replica does and hands the changes of selected tables to a Handler:
// transactions, rows as raw bytes with the layout that splits them, boundaries, and changes of table definitions. It
// promises that changes come in binlog order, each exactly once for the life of Run whatever happens to the connection
// in between, that a boundary is only announced where reading can start again, that a table whose rows it cannot read is
// failed by name and the others go on, and that any other event it cannot read ends the run with an error that names the
// event and its place; nothing is skipped silently.
package binlog
