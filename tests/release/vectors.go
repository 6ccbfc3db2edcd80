package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"math/big"

	"filippo.io/edwards25519"
)

type vector struct {
	key, sig, msg []byte
	what          string
}

func one() *edwards25519.Scalar {
	s, err := edwards25519.NewScalar().SetCanonicalBytes(append([]byte{1}, make([]byte, 31)...))
	must(err)
	return s
}

// torsion is a point of order 8: some point, times the order of the group.
func torsion() *edwards25519.Point {
	for i := byte(2); ; i++ {
		p, err := new(edwards25519.Point).SetBytes(append([]byte{i}, make([]byte, 31)...))
		if err != nil {
			continue
		}
		t := new(edwards25519.Point).ScalarMult(edwards25519.NewScalar().Negate(one()), p)
		t.Add(t, p)
		four := new(edwards25519.Point).Add(t, t)
		four.Add(four, four)
		if four.Equal(edwards25519.NewIdentityPoint()) == 0 {
			return t
		}
	}
}

// smallOrder gives the eight points of small order, and every other way to write them down.
func smallOrder() [][]byte {
	var all [][]byte
	seen := map[string]bool{}
	add := func(b []byte) {
		if !seen[string(b)] {
			seen[string(b)] = true
			all = append(all, b)
		}
	}
	t, p := torsion(), edwards25519.NewIdentityPoint()
	for range 8 {
		add(bytes.Clone(p.Bytes()))
		p.Add(p, t)
	}
	odd := [][]byte{append([]byte{1}, append(make([]byte, 30), 0x80)...)} // -0
	for i := range 20 {                                                   // y of p - 1 and more
		b := bytes.Repeat([]byte{0xff}, 32)
		b[0], b[31] = byte(0xec+i), 0x7f
		odd = append(odd, b, append(bytes.Clone(b[:31]), 0xff))
	}
	for _, b := range odd {
		if q, err := new(edwards25519.Point).SetBytes(b); err == nil &&
			q.MultByCofactor(q).Equal(edwards25519.NewIdentityPoint()) == 1 {
			add(b)
		}
	}
	return all
}

func ed25519Vectors() []vector {
	var all []vector
	add := func(what string, key, sig, msg []byte) { all = append(all, vector{key, sig, msg, what}) }
	small := smallOrder()
	for _, a := range small {
		for _, r := range small {
			add("small-order", a, append(bytes.Clone(r), make([]byte, 32)...), []byte("Zcash"))
		}
	}
	l, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	reverse := func(b []byte) []byte {
		r := make([]byte, len(b))
		for i := range b {
			r[len(b)-1-i] = b[i]
		}
		return r
	}
	for i := byte(0); i < 16; i++ {
		seed := bytes.Repeat([]byte{i}, 32)
		key := ed25519.NewKeyFromSeed(seed)
		pub := key.Public().(ed25519.PublicKey)
		msg := bytes.Repeat([]byte{i}, int(i)*3)
		sig := ed25519.Sign(key, msg)
		add("honest", pub, sig, msg)
		add("other-message", pub, sig, append(bytes.Clone(msg), 0))
		for at, what := range map[int]string{int(i): "flipped-r", 32 + int(i): "flipped-s"} {
			bad := bytes.Clone(sig)
			bad[at] ^= 1
			add(what, pub, bad, msg)
		}
		s := new(big.Int).Add(new(big.Int).SetBytes(reverse(sig[32:])), l).FillBytes(make([]byte, 32))
		add("s-plus-l", pub, append(bytes.Clone(sig[:32]), reverse(s)...), msg)
		add("zero", pub, make([]byte, 64), msg)
		add("zero-key", make([]byte, 32), make([]byte, 64), msg)
		add("small-order-r", pub, append(bytes.Clone(small[int(i)%len(small)]), sig[32:]...), msg)
		// R and A with a part of small order: the equation with the cofactor holds, the one without may not.
		h := sha512.Sum512(seed)
		a, _ := edwards25519.NewScalar().SetBytesWithClamping(h[:32])
		t, err := new(edwards25519.Point).SetBytes(small[1+int(i)%7])
		must(err)
		for what, where := range map[string][2]bool{"mixed-a": {true, false}, "mixed-r": {false, true}, "mixed-both": {true, true}} {
			A, R := new(edwards25519.Point).ScalarBaseMult(a), new(edwards25519.Point)
			n := sha512.Sum512(append(bytes.Clone(h[32:]), msg...))
			r, _ := edwards25519.NewScalar().SetUniformBytes(n[:])
			R.ScalarBaseMult(r)
			if where[0] {
				A.Add(A, t)
			}
			if where[1] {
				R.Add(R, t)
			}
			k := sha512.New()
			k.Write(R.Bytes())
			k.Write(A.Bytes())
			k.Write(msg)
			c, _ := edwards25519.NewScalar().SetUniformBytes(k.Sum(nil))
			add(what, A.Bytes(), append(bytes.Clone(R.Bytes()), edwards25519.NewScalar().MultiplyAdd(c, a, r).Bytes()...), msg)
		}
	}
	return all
}
