package store

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

// keyIDSize is the length in bytes of a key's id: the start of its SHA-256.
const keyIDSize = 4

// ErrSealed says that credentials could not be decrypted: the key is another one, or they were
// changed, or moved from another row.
var ErrSealed = errors.New("the credentials cannot be decrypted")

// Keyring encrypts credentials at rest with XChaCha20-Poly1305, under keys that the database does
// not hold. What it seals is bound to the row it is for: moved to another row it does not open. The
// first key seals, all of them open, so that a key can be replaced while rows under the old one
// remain.
type Keyring struct {
	keys []key
}

type key struct {
	id   []byte
	aead cipher.AEAD
}

// ParseKeyring reads a setting: one or more keys, each 32 bytes in base64, separated by commas.
func ParseKeyring(setting Secret) (*Keyring, error) {
	ring := &Keyring{}
	for i, field := range strings.Split(string(setting), ",") {
		raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(field))
		if err != nil || len(raw) != chacha20poly1305.KeySize {
			return nil, fmt.Errorf("key %d is not %d bytes in base64: make one with 'openssl rand -base64 %d'",
				i+1, chacha20poly1305.KeySize, chacha20poly1305.KeySize)
		}
		aead, err := chacha20poly1305.NewX(raw)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		sum := sha256.Sum256(raw)
		ring.keys = append(ring.keys, key{id: sum[:keyIDSize], aead: aead})
	}
	return ring, nil
}

// NewKey returns a new random key as ParseKeyring reads it.
func NewKey() Secret {
	raw := make([]byte, chacha20poly1305.KeySize)
	_, _ = rand.Read(raw) // never fails: package crypto/rand
	return Secret(base64.StdEncoding.EncodeToString(raw))
}

// Seal encrypts a value, as JSON, for the row that binding names.
func (k *Keyring) Seal(value any, binding string) ([]byte, error) {
	plain, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode credentials: %w", err)
	}
	first := k.keys[0]
	sealed := make([]byte, keyIDSize+chacha20poly1305.NonceSizeX, keyIDSize+chacha20poly1305.NonceSizeX+len(plain)+first.aead.Overhead())
	copy(sealed, first.id)
	_, _ = rand.Read(sealed[keyIDSize:])
	return first.aead.Seal(sealed, sealed[keyIDSize:], plain, []byte(binding)), nil
}

// Open decrypts what Seal returned for the same binding into value. It returns [ErrSealed] if no
// key of the ring opens it.
func (k *Keyring) Open(sealed []byte, binding string, value any) error {
	if len(sealed) < keyIDSize+chacha20poly1305.NonceSizeX {
		return fmt.Errorf("%w: they are %d bytes long", ErrSealed, len(sealed))
	}
	id, nonce, box := sealed[:keyIDSize], sealed[keyIDSize:keyIDSize+chacha20poly1305.NonceSizeX], sealed[keyIDSize+chacha20poly1305.NonceSizeX:]
	for _, candidate := range k.keys {
		if !bytes.Equal(candidate.id, id) {
			continue
		}
		plain, err := candidate.aead.Open(nil, nonce, box, []byte(binding))
		if err != nil {
			return fmt.Errorf("%w: they were changed, or belong to another row", ErrSealed)
		}
		if err := json.Unmarshal(plain, value); err != nil {
			return fmt.Errorf("decode credentials: %w", err)
		}
		return nil
	}
	return fmt.Errorf("%w: they were sealed with key %x, which is not among TWEETQUEUE_KEY's", ErrSealed, id)
}
