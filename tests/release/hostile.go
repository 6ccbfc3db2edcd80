package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"strings"
)

const top = "tailscale_1.90.1_amd64"

// A tar made by hand, so that a header can say what the library would not.
type maker struct{ bytes.Buffer }

type entry struct {
	name, link string
	kind       byte
	mode       int64
	size       int64 // what the header says; -1: of data
	data       []byte
	fix        func(h []byte)
}

func entryOf(name string, b []byte) entry {
	return entry{name: name, kind: '0', mode: 0755, size: -1, data: b}
}

func octal(h []byte, n int64) { copy(h, fmt.Sprintf("%0*o\x00", len(h)-1, n)) }

func (m *maker) add(e entry) {
	h := make([]byte, 512)
	copy(h[:100], e.name)
	octal(h[100:108], e.mode)
	octal(h[108:116], 0)
	octal(h[116:124], 0)
	if e.size < 0 {
		e.size = int64(len(e.data))
	}
	octal(h[124:136], e.size)
	octal(h[136:148], 1767225600)
	h[156] = e.kind
	copy(h[157:257], e.link)
	copy(h[257:], "ustar\x0000root")
	copy(h[297:], "root")
	if e.fix != nil {
		e.fix(h)
	}
	copy(h[148:156], "        ")
	sum := 0
	for _, b := range h {
		sum += int(b)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	m.Write(h)
	m.Write(e.data)
	m.Write(make([]byte, (512-len(e.data)%512)%512))
}

func (m *maker) dir(name string)            { m.add(entry{name: name, kind: '5', mode: 0755}) }
func (m *maker) file(name string, b []byte) { m.add(entryOf(name, b)) }
func (m *maker) end()                       { m.Write(make([]byte, 1024)) }

// The least that passes for a program of a machine, stamped as a release.
func program(class, data byte, machine uint16, stamp string) []byte {
	h := make([]byte, 64)
	copy(h, "\x7fELF")
	h[4], h[5], h[6] = class, data, 1
	order := binary.ByteOrder(binary.LittleEndian)
	if data == 2 {
		order = binary.BigEndian
	}
	order.PutUint16(h[16:], 2)
	order.PutUint16(h[18:], machine)
	return append(h, ("strings run together" + stamp + "like this" + strings.Repeat("\x90", 4000))...)
}

func amd64(version string) []byte { return program(2, 1, 62, version+"-t012345678-gfedcba987") }

func (m *maker) usual(name string) *maker {
	m.dir(name + "/")
	m.file(name+"/tailscaled", amd64("1.90.1"))
	m.file(name+"/tailscale", amd64("1.90.1"))
	m.dir(name + "/systemd/")
	m.file(name+"/systemd/tailscaled.service", []byte("[Unit]\n"))
	return m
}

func gz(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func hostile(dir string) {
	keep := func(word string, b []byte) { write(b, dir, word+".tgz") }
	instead := func(word string, all func(m *maker)) {
		m := new(maker)
		all(m)
		m.end()
		keep(word, gz(m.Bytes()))
	}
	with := func(word string, more func(m *maker)) { instead(word, func(m *maker) { more(m.usual(top)) }) }
	withEntry := func(word string, e entry) { with(word, func(m *maker) { m.add(e) }) }
	unit := top + "/systemd/x"
	x := []byte("x")

	with("good", func(m *maker) {})
	with("good-new-unit", func(m *maker) { m.file(top+"/systemd/tailscale-new.timer", x) })
	for word, name := range map[string]string{"dotdot": "../escaped", "dotdot-inside": top + "/systemd/../../../escaped", "dot": top + "/./x",
		"empty-part": top + "//x", "absolute": "/tmp/escaped", "backslash": unit + "\\b", "control-byte": unit + "\nb", "empty-name": "",
		"stranger": top + "/install.sh", "other-top": "tailscale_1.90.2_amd64/tailscale", "deep": unit + "/deep",
		"duplicate": top + "/tailscaled", "duplicate-unit": top + "/systemd/tailscaled.service"} {
		withEntry(word, entryOf(name, x))
	}
	for word, kind := range map[string]byte{"symlink": '2', "hardlink": '1', "char-device": '3', "block-device": '4', "fifo": '6',
		"contiguous": '7', "unknown-type": 'Z', "sparse": 'S'} {
		withEntry(word, entry{name: unit, kind: kind, link: "/etc/passwd", mode: 0777})
	}
	with("symlink-through", func(m *maker) {
		m.add(entry{name: unit, kind: '2', link: "/tmp"})
		m.file(unit+"/escaped", x)
	})
	for word, kind := range map[string]byte{"long-name": 'L', "long-link": 'K'} {
		with(word, func(m *maker) {
			m.add(entry{name: "././@LongLink", kind: kind, size: -1, data: []byte("/tmp/escaped\x00")})
			m.file(unit, x)
		})
	}
	for word, kind := range map[string]byte{"pax-path": 'x', "pax-global": 'g'} {
		with(word, func(m *maker) {
			m.add(entry{name: "PaxHeaders/x", kind: kind, size: -1, data: []byte("21 path=/tmp/escaped\n")})
			m.file(unit, x)
		})
	}
	field := func(word string, at int, text string) {
		withEntry(word, entry{name: unit, kind: '0', fix: func(h []byte) { copy(h[at:], text) }})
	}
	field("prefix-escape", 345, "../..")
	field("base-256", 124, "\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01")
	field("negative-size", 124, strings.Repeat("\xff", 12))
	field("odd-size", 124, "-0000000001\x00")
	field("huge-size", 124, "77777777777\x00")
	field("no-magic", 257, "\x00\x00\x00\x00\x00\x00\x00\x00")
	with("bad-sum", func(m *maker) {
		m.file(unit, x)
		b := m.Bytes()
		b[len(b)-1024+150] ^= 1
	})
	with("large-unit", func(m *maker) { m.file(unit, make([]byte, 65537)) })
	withEntry("directory-with-data", entry{name: unit + "/", kind: '5', mode: 0755, size: -1, data: amd64("1.90.1")})
	with("after-the-end", func(m *maker) { m.end(); m.file("escaped", x) })
	with("million", func(m *maker) {
		var one maker
		one.file(unit, nil)
		for range 1000000 {
			m.Write(one.Bytes())
		}
	})
	with("bomb", func(m *maker) {
		m.add(entry{name: unit, kind: '0', size: 600 << 20})
		zero := make([]byte, 1<<20)
		for range 600 {
			m.Write(zero)
		}
	})
	programs := func(word string, tailscaled, tailscale []byte) {
		instead(word, func(m *maker) {
			m.dir(top + "/")
			m.add(entry{name: top + "/tailscaled", kind: '0', mode: 06777, size: -1, data: tailscaled})
			if tailscale != nil {
				m.file(top+"/tailscale", tailscale)
			}
		})
	}
	good := amd64("1.90.1")
	programs("good-setuid", good, good) // the mode of an entry means nothing: taken, and written as 0755
	programs("one-missing", good, nil)
	programs("zero-bytes", []byte{}, good)
	programs("script", []byte("#!/bin/sh\n"+strings.Repeat("#", 100)), good)
	programs("other-machine", good, program(2, 1, 183, "1.90.1-t012345678-gfedcba987"))
	programs("other-stamp", amd64("1.90.0"), good)
	programs("good-longer-stamp", amd64("x11.90.1"), good) // the digit before may be the end of another string
	programs("good-second-stamp", append(amd64("1.2.3"), good...), good)
	programs("good-no-stamp", program(2, 1, 62, "1.90.1"), program(2, 1, 62, "1.90.1"))
	instead("other-product", func(m *maker) {
		m.dir("tailscale-1.90.1/")
		m.file("tailscale-1.90.1/tailscale.spk", x)
	})
	for _, name := range []string{"tailscale_1.90_amd64", "tailscale_1.90.1.2_amd64", "tailscale_01.90.1_amd64", "tailscale_1.90.1_vax",
		"tailscale_1.90.1_", "tailscale__amd64", "tailscale_1.90.1_freebsd_amd64", "tailscale_1.9999999999.1_amd64"} {
		instead("top-"+name, func(m *maker) { m.usual(name) })
	}
	plain := func(version, arch string, prog []byte) {
		name := "tailscale_" + version + "_" + arch
		instead(name, func(m *maker) {
			m.dir(name + "/")
			m.file(name+"/tailscaled", prog)
			m.file(name+"/tailscale", prog)
		})
	}
	for _, v := range []string{"1.88.0", "1.90.2", "1.91.7"} {
		plain(v, "amd64", amd64(v))
	}
	for _, a := range []struct {
		name        string
		class, data byte
		machine     uint16
	}{{"amd64", 2, 1, 62}, {"386", 1, 1, 3}, {"arm", 1, 1, 40}, {"arm64", 2, 1, 183}, {"mips", 1, 2, 8}, {"mipsle", 1, 1, 8},
		{"mips64", 2, 2, 8}, {"mips64le", 2, 1, 8}, {"riscv64", 2, 1, 243}, {"geode", 1, 1, 3}} {
		plain("1.90.1", a.name, program(a.class, a.data, a.machine, "1.90.1-t012345678-gfedcba987"))
	}
	m := new(maker).usual(top)
	whole := append(bytes.Clone(m.Bytes()), make([]byte, 1024)...)
	keep("no-end", gz(m.Bytes()))
	keep("half-end", gz(whole[:len(whole)-512]))
	keep("cut-in-data", gz(m.Bytes()[:3000]))
	all := gz(whole)
	change := func(word string, at int, n uint32) {
		b := bytes.Clone(all)
		binary.LittleEndian.PutUint32(b[len(b)-at:], n)
		keep(word, b)
	}
	change("bad-crc", 8, 0x12345678)
	change("bad-length", 4, uint32(len(whole)+1))
	change("huge-length", 4, 0xffffffff)
	keep("cut-gzip", all[:len(all)-100])
	keep("cut-trailer", all[:len(all)-1])
	keep("trailing-byte", append(bytes.Clone(all), 0))
	keep("trailing-member", append(bytes.Clone(all), gz([]byte("more"))...))
	keep("not-gzip", []byte(strings.Repeat("not an archive\n", 100)))
	keep("empty-gzip", gz(nil))
	keep("good-plain-tar", whole)
	var lib bytes.Buffer // as Go's own library writes it, without folders
	tw := tar.NewWriter(&lib)
	for _, name := range []string{"tailscaled", "tailscale"} {
		must(tw.WriteHeader(&tar.Header{Name: top + "/" + name, Mode: 0755, Size: int64(len(good))}))
		_, err := tw.Write(good)
		must(err)
	}
	must(tw.Close())
	keep("good-no-folder", gz(lib.Bytes()))
}
