// Package source knows the MySQL or MariaDB server that changes are read from: how to connect to it, what it is, where
// its binary log stands, which tables it has and how they are defined. It promises that every connection it hands out
// reads only, speaks utf8mb4 and UTC and ends with its context, that nothing it does locks or writes, that no password
// leaves in clear over a connection that others may read, and that every failure names the step that failed and says what
// to do about it.
package source
