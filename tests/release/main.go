// release - Tailscale releases as they are published, made from real programs and signed by keys of our own,
// with Tailscale's own code where that has any (clientupdate/distsign).
//
//	release keys DIR                       root.key root.pem signing.key distsign.pub distsign.pub.sig
//	release pack FILE VERSION ARCH BINDIR UNITS [UNIX-TIME]   FILE as published: gzip, ustar, tailscale_VERSION_ARCH/...
//	release sign DIR FILE...               FILE.sig by DIR/signing.key
//	release sign-root DIR FILE             FILE.sig by DIR/root.key, whatever FILE is
//	release says DIR FILE...               what the reference says of each: yes or no
//	release hostile DIR                    archives that must not be taken, and a few that must: DIR/WORD.tgz
//	release bundle FILE MEMBER...          a plain tar of them with a manifest; MEMBER NAME=PATH
//	release vectors                        Ed25519: key, signature, message (hex), what the reference says
//	release minisign DIR FILE COMMENT [legacy]   FILE.minisig and DIR/minisign.pub
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/blake2b"
	"tailscale.com/clientupdate/distsign"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func read(path ...string) []byte {
	b, err := os.ReadFile(filepath.Join(path...))
	must(err)
	return b
}

func write(b []byte, path ...string) { must(os.WriteFile(filepath.Join(path...), b, 0600)) }

func keys(dir string) {
	must(os.MkdirAll(dir, 0700))
	root, rootPub, err := distsign.GenerateRootKey()
	must(err)
	signing, signingPub, err := distsign.GenerateSigningKey()
	must(err)
	write(root, dir, "root.key")
	write(rootPub, dir, "root.pem")
	write(signing, dir, "signing.key")
	write(signingPub, dir, "distsign.pub")
	key, err := distsign.ParseRootKey(root)
	must(err)
	sig, err := key.SignSigningKeys(signingPub)
	must(err)
	write(sig, dir, "distsign.pub.sig")
}

func hashOf(file string) ([]byte, int64) {
	f, err := os.Open(file)
	must(err)
	defer f.Close()
	h := distsign.NewPackageHash()
	_, err = io.Copy(h, f)
	must(err)
	return h.Sum(nil), h.Len()
}

func sign(dir, file string) {
	key, err := distsign.ParseSigningKey(read(dir, "signing.key"))
	must(err)
	sum, n := hashOf(file)
	sig, err := key.SignPackageHash(sum, n)
	must(err)
	write(sig, file+".sig")
}

// says is the reference client's own order of checks, without its network.
func says(dir, file string) string {
	roots, err := distsign.ParseRootKeyBundle(read(dir, "root.pem"))
	must(err)
	pub := read(filepath.Dir(file), "distsign.pub")
	if !distsign.VerifyAny(roots, pub, read(filepath.Dir(file), "distsign.pub.sig")) {
		return "no"
	}
	keys, err := distsign.ParseSigningKeyBundle(pub)
	if err != nil {
		return "no"
	}
	sum, n := hashOf(file)
	if !distsign.VerifyAny(keys, binary.LittleEndian.AppendUint64(sum, uint64(n)), read(file+".sig")) {
		return "no"
	}
	return "yes"
}

func pack(out, version, arch, bins, units string, when time.Time) {
	f, err := os.Create(out)
	must(err)
	gw := gzip.NewWriter(f)
	tw := tar.NewWriter(gw)
	head := func(name string, mode, size int64) {
		must(tw.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: size, ModTime: when, Uname: "root", Gname: "root"}))
	}
	file := func(dir, name string, mode int64, to string) {
		b := read(dir, name)
		head(to+"/"+name, mode, int64(len(b)))
		_, err := tw.Write(b)
		must(err)
	}
	top := "tailscale_" + version + "_" + arch
	head(top+"/", 0755, 0)
	file(bins, "tailscaled", 0755, top)
	file(bins, "tailscale", 0755, top)
	head(top+"/systemd/", 0755, 0)
	for _, unit := range []string{"tailscaled.service", "tailscaled.defaults", "tailscale-online.target", "tailscale-wait-online.service"} {
		file(units, unit, 0644, top+"/systemd")
	}
	must(tw.Close())
	must(gw.Close())
	must(f.Close())
}

func bundle(out string, members []string) {
	type entry struct {
		Name   string `json:"name"`
		Size   int    `json:"size"`
		Sha256 string `json:"sha256"`
	}
	var manifest struct {
		Version string  `json:"version"`
		Made    string  `json:"made"`
		Files   []entry `json:"files"`
	}
	var m maker
	manifest.Version, manifest.Made = "1.102.5", "2026-01-01T00:00:00Z"
	own := false
	for _, member := range members {
		name, path, _ := strings.Cut(member, "=")
		b := read(path)
		if name == "manifest.json" {
			own = true
		} else {
			manifest.Files = append(manifest.Files, entry{name, len(b), fmt.Sprintf("%x", sha256.Sum256(b))})
		}
		m.add(entryOf(name, b))
	}
	if !own {
		b, err := json.Marshal(manifest)
		must(err)
		m.add(entryOf("manifest.json", b))
	}
	m.end()
	write(m.Bytes(), out)
}

func minisign(dir, file, comment string, legacy bool) {
	block, _ := pem.Decode(read(dir, "signing.key"))
	key := ed25519.PrivateKey(block.Bytes)
	id := []byte("moorbox1")
	line := func(b []byte) string { return base64.StdEncoding.EncodeToString(b) + "\n" }
	pub := append(append([]byte("Ed"), id...), key.Public().(ed25519.PublicKey)...)
	write([]byte("untrusted comment: minisign public key\n"+line(pub)), dir, "minisign.pub")
	sum := blake2b.Sum512(read(file))
	alg, msg := "ED", sum[:]
	if legacy {
		alg, msg = "Ed", read(file)
	}
	sig := ed25519.Sign(key, msg)
	global := ed25519.Sign(key, append(bytes.Clone(sig), comment...))
	write([]byte("untrusted comment: signature\n"+line(append(append([]byte(alg), id...), sig...))+
		"trusted comment: "+comment+"\n"+line(global)), file+".minisig")
}

func vectors() {
	for _, v := range ed25519Vectors() {
		verdict := "no"
		if distsign.VerifyAny([]ed25519.PublicKey{v.key}, v.msg, v.sig) {
			verdict = "yes"
		}
		fmt.Println(hex.EncodeToString(v.key), hex.EncodeToString(v.sig), "0x"+hex.EncodeToString(v.msg), verdict, v.what)
	}
}

func main() {
	log.SetFlags(0)
	a := append(os.Args[1:], make([]string, 8)...)
	switch n := len(os.Args) - 1; {
	case a[0] == "keys" && n == 2:
		keys(a[1])
	case a[0] == "pack" && n >= 6:
		when := time.Unix(1767225600, 0)
		if n > 6 {
			s, err := strconv.ParseInt(a[6], 10, 64)
			must(err)
			when = time.Unix(s, 0)
		}
		pack(a[1], a[2], a[3], a[4], a[5], when)
	case a[0] == "sign" && n >= 3:
		for _, f := range os.Args[3:] {
			sign(a[1], f)
		}
	case a[0] == "sign-root" && n == 3:
		root, _ := pem.Decode(read(a[1], "root.key"))
		write(ed25519.Sign(ed25519.PrivateKey(root.Bytes), read(a[2])), a[2]+".sig")
	case a[0] == "says" && n >= 3:
		for _, f := range os.Args[3:] {
			fmt.Println(says(a[1], f))
		}
	case a[0] == "hostile" && n == 2:
		hostile(a[1])
	case a[0] == "bundle" && n >= 3:
		bundle(a[1], os.Args[3:])
	case a[0] == "vectors":
		vectors()
	case a[0] == "minisign" && n >= 4:
		minisign(a[1], a[2], a[3], a[4] == "legacy")
	default:
		log.Fatal("usage: see main.go")
	}
}
