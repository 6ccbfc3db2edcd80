/* Uses a little of every library: build links it at the end, to see that they fit together. */
#include <archive.h>
#include <curl/curl.h>
#include <jsmn.h>
#include <libdeflate.h>
#include <mbedtls/version.h>
#include <sodium.h>
#include <stdio.h>

int main(void)
{
	unsigned char key[32], secret[64], sig[64];
	char tls[32];
	jsmn_parser json;
	jsmntok_t tok[4];
	struct archive *tar = archive_read_new();
	int bad = 0;

	/* the signer is here for the test's sake: an Ed25519 round trip, and a forgery refused */
	crypto_sign_keypair(key, secret);
	crypto_sign_detached(sig, NULL, (const unsigned char *)"moor", 4, secret);
	bad |= crypto_sign_verify_detached(sig, (const unsigned char *)"moor", 4, key) != 0;
	bad |= crypto_sign_verify_detached(sig, (const unsigned char *)"boor", 4, key) == 0;

	bad |= archive_read_support_format_tar(tar) || archive_read_support_format_ar(tar) ||
	       archive_read_support_filter_gzip(tar) || archive_read_support_filter_xz(tar) ||
	       archive_read_support_filter_zstd(tar);
	archive_read_free(tar);

	static const unsigned char gz[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 1, 0, 0xfe, 0xff, 'm', 0x68, 0xf2, 0x01, 0xe1, 1, 0, 0, 0};
	struct libdeflate_decompressor *inflater = libdeflate_alloc_decompressor();
	char got[1];
	bad |= libdeflate_gzip_decompress(inflater, gz, sizeof gz, got, 1, NULL) != LIBDEFLATE_SUCCESS || *got != 'm';
	libdeflate_free_decompressor(inflater);

	jsmn_init(&json);
	bad |= jsmn_parse(&json, "{\"a\":1}", 7, tok, 4) != 3;

	mbedtls_version_get_string(tls);
	printf("%s\n%s\nmbedtls %s\n", curl_version(), archive_version_details(), tls);
	return bad;
}
