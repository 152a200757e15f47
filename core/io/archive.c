/* Zip archives over libzip.
 *
 * Writing. The archive is made in memory and then becomes a file through base/file.h, for a file that libzip makes
 * itself has a name of its own until it is renamed, and is not flushed to the disk.
 * Reading. The file is anybody's. libzip holds the central directory against the file's size; what a member says of its
 * size is held here against what deflate can make of its compressed bytes, and those, of all members together, against
 * the file. Local headers are not compared with the central directory (ZIP_CHECKCONS): tools write them differently,
 * and it is the CRC-32 that tells whether a member is whole. */
#include "io/archive.h"
#include "io/source.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"

#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>

enum {
    CHUNK = 1 << 20, /* read at once, between looks at the flag for interruption */
    LEVEL = 6,       /* of deflate: zlib's own choice; libzip would take 9 */
    MAX_DEFLATE_RATIO = 1032,
    MOST_NAME = UINT16_MAX,
    DOS_1980 = 1 << 5 | 1, /* the first of January of DOS's first year */
};

/* Permissions rw-r--r-- of a plain file, where unzip looks for them. */
static const uint32_t attributes = UINT32_C(0100644) << 16;

/* ---- errors ------------------------------------------------------------------------------------------------- */

/* libzip's error as ours, after what it was about. The system's refusals are no matter of format. */
__attribute__((format(printf, 4, 5))) static cnn_status fail_zip(zip_error_t *error, cnn_status otherwise,
                                                                 size_t bytes, const char *format, ...) {
    char about[512];
    va_list args;
    va_start(args, format);
    vsnprintf(about, sizeof about, format, args);
    va_end(args);
    int code = zip_error_code_zip(error);
    if (code == ZIP_ER_MEMORY) return cnn_fail_memory(bytes);
    if (code == ZIP_ER_CANCELLED) return cnn_fail(CNN_ERROR_INTERRUPTED, "%s (interrupted)", about);
    if (code == ZIP_ER_READ || code == ZIP_ER_OPEN) otherwise = CNN_ERROR_IO;
    return cnn_fail(otherwise, "%s (%s)", about, zip_error_strerror(error));
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

/* The member's bytes where they lie; NULL with libzip's error set. An empty piece would confuse libzip 1.7. */
static zip_source_t *member_source(zip_t *zip, const cnn_member *member) {
    zip_buffer_fragment_t pieces[2];
    int count = 0;
    if (member->head_size > 0)
        pieces[count++] = (zip_buffer_fragment_t){(zip_uint8_t *)member->head, member->head_size};
    if (member->size > 0)
        pieces[count++] = (zip_buffer_fragment_t){(zip_uint8_t *)member->bytes, member->size};
    return zip_source_buffer_fragment(zip, count > 0 ? pieces : NULL, (zip_uint64_t)count, 0);
}

static cnn_status add_member(zip_t *zip, const char *path, const cnn_member *member, bool compress) {
    if (!*member->name || strlen(member->name) > MOST_NAME)
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: a member's name must have 1 to %d bytes, got %zu", path,
                        MOST_NAME, strlen(member->name));
    zip_source_t *source = member_source(zip, member);
    if (!source) return cnn_fail_memory(sizeof *member);
    zip_int64_t added = zip_file_add(zip, member->name, source, ZIP_FL_ENC_UTF_8);
    if (added < 0) {
        zip_source_free(source);
        if (zip_error_code_zip(zip_get_error(zip)) == ZIP_ER_EXISTS)
            return cnn_fail(CNN_ERROR_ARGUMENT, "%s: two members are named '%.200s'", path, member->name);
        return fail_zip(zip_get_error(zip), CNN_ERROR_ARGUMENT, sizeof *member,
                        "%.200s: cannot add a member named '%.200s'", path, member->name);
    }
    zip_uint64_t index = (zip_uint64_t)added;
    if (zip_set_file_compression(zip, index, compress ? ZIP_CM_DEFLATE : ZIP_CM_STORE, LEVEL) != 0 ||
        zip_file_set_dostime(zip, index, 0, DOS_1980, 0) != 0 ||
        zip_file_set_external_attributes(zip, index, 0, ZIP_OPSYS_UNIX, attributes) != 0)
        return fail_zip(zip_get_error(zip), CNN_ERROR_IO, sizeof *member, "cannot write %.300s", path);
    return CNN_OK;
}

static int cancelled(zip_t *zip, void *data) {
    (void)zip;
    (void)data;
    return cnn_interrupted();
}

/* Fills the buffer behind image. zip_close frees the archive only when it succeeds. */
static cnn_status make_image(zip_source_t *image, const char *path, const cnn_member *members, int count,
                             bool compress) {
    zip_error_t error;
    zip_error_init(&error);
    zip_t *zip = zip_open_from_source(image, ZIP_TRUNCATE, &error);
    cnn_status status =
        zip ? CNN_OK : fail_zip(&error, CNN_ERROR_IO, sizeof *members, "cannot write %.300s", path);
    zip_error_fini(&error);
    if (!zip) return status;
    zip_source_keep(image);
    size_t bytes = 0;
    for (int i = 0; i < count && status == CNN_OK; i++) {
        bytes += members[i].head_size + members[i].size;
        status = add_member(zip, path, &members[i], compress);
    }
    if (status == CNN_OK && zip_register_cancel_callback_with_state(zip, cancelled, NULL, NULL) != 0)
        status = cnn_fail_memory(sizeof *members);
    if (status == CNN_OK && zip_close(zip) == 0) return CNN_OK;
    if (status == CNN_OK)
        status = fail_zip(zip_get_error(zip), CNN_ERROR_IO, bytes, "cannot write %.300s", path);
    zip_discard(zip);
    return status;
}

static cnn_status copy_image(FILE *stream, zip_source_t *image, const char *path) {
    char *buffer = cnn_malloc(CHUNK);
    if (!buffer) return cnn_fail_memory(CHUNK);
    zip_int64_t got = zip_source_open(image) == 0 ? 1 : -1;
    bool opened = got > 0;
    while (got > 0 && !ferror(stream)) { /* what fails here is told when the file is committed */
        got = zip_source_read(image, buffer, CHUNK);
        if (got > 0) fwrite(buffer, 1, (size_t)got, stream);
    }
    if (opened) zip_source_close(image);
    cnn_free(buffer);
    if (got >= 0) return CNN_OK;
    return fail_zip(zip_source_error(image), CNN_ERROR_IO, CHUNK, "cannot write %.300s", path);
}

static cnn_status write_image(zip_source_t *image, const char *path) {
    cnn_file file;
    CNN_TRY(cnn_file_create(&file, path));
    cnn_status status = copy_image(file.stream, image, path);
    if (status == CNN_OK) return cnn_file_commit(&file);
    cnn_file_abandon(&file);
    return status;
}

cnn_status cnn_archive_write(const char *path, const cnn_member *members, int count, bool compress) {
    if (count < 1) return cnn_fail(CNN_ERROR_ARGUMENT, "%s: an archive needs one member at least", path);
    if (cnn_alloc_refused(CHUNK)) return cnn_fail_memory(CHUNK);
    zip_source_t *image = zip_source_buffer_create(NULL, 0, 0, NULL);
    if (!image) return cnn_fail_memory(CHUNK);
    cnn_status status = make_image(image, path, members, count, compress);
    if (status == CNN_OK) status = write_image(image, path);
    zip_source_free(image);
    return status;
}

/* ---- opening ------------------------------------------------------------------------------------------------ */

struct cnn_archive {
    zip_t *zip;
    char *path;
    uint64_t size; /* of the file */
};

/* Takes the source's file over in any case. */
static cnn_status open_zip(cnn_archive *archive, const cnn_source *file) {
    zip_error_t error;
    zip_error_init(&error);
    FILE *stream = fdopen(file->file, "rb");
    if (!stream) {
        close(file->file);
        return cnn_fail_memory(BUFSIZ);
    }
    zip_source_t *source = zip_source_filep_create(stream, 0, -1, &error);
    if (source) {
        archive->zip = zip_open_from_source(source, ZIP_RDONLY, &error);
        if (!archive->zip) zip_source_free(source);
    } else {
        fclose(stream);
    }
    cnn_status status = CNN_OK;
    if (!archive->zip)
        status = fail_zip(&error, CNN_ERROR_FORMAT, BUFSIZ, "%.300s is not a zip archive", file->name);
    zip_error_fini(&error);
    return status;
}

/* Every member has a name and a size; together they are no longer than the file, so that no byte of it can be
 * inflated twice. */
static cnn_status check_members(const cnn_archive *archive) {
    zip_int64_t count = zip_get_num_entries(archive->zip, 0);
    if (count > INT_MAX) return cnn_fail(CNN_ERROR_FORMAT, "%s has too many members", archive->path);
    uint64_t sum = 0;
    for (zip_int64_t i = 0; i < count; i++) {
        zip_stat_t info;
        if (zip_stat_index(archive->zip, (zip_uint64_t)i, 0, &info) != 0)
            return fail_zip(zip_get_error(archive->zip), CNN_ERROR_FORMAT, sizeof info,
                            "%.300s: member %lld is damaged", archive->path, (long long)i + 1);
        if (info.comp_size > archive->size - sum)
            return cnn_fail(CNN_ERROR_FORMAT, "%s: its members are longer than the file", archive->path);
        sum += info.comp_size;
    }
    return CNN_OK;
}

cnn_status cnn_archive_open(cnn_archive **out, const char *path) {
    cnn_source file;
    CNN_TRY(cnn_source_open(&file, path));
    cnn_archive *archive = cnn_calloc(sizeof *archive);
    char *name = archive ? cnn_strdup(path) : NULL;
    if (!name) {
        cnn_source_close(&file);
        cnn_free(archive);
        return cnn_fail_memory(sizeof *archive + strlen(path));
    }
    archive->path = name;
    archive->size = file.size;
    cnn_status status = open_zip(archive, &file);
    if (status == CNN_OK) status = check_members(archive);
    if (status == CNN_OK)
        *out = archive;
    else
        cnn_archive_close(archive);
    return status;
}

void cnn_archive_close(cnn_archive *archive) {
    if (!archive) return;
    if (archive->zip) zip_discard(archive->zip);
    cnn_free(archive->path);
    cnn_free(archive);
}

/* ---- members ------------------------------------------------------------------------------------------------ */

int cnn_archive_count(const cnn_archive *archive) {
    return (int)zip_get_num_entries(archive->zip, 0);
}

const char *cnn_archive_name(const cnn_archive *archive, int index) {
    return zip_get_name(archive->zip, (zip_uint64_t)index, 0); /* there since the archive was opened */
}

int cnn_archive_find(const cnn_archive *archive, const char *name) {
    for (int i = 0; i < cnn_archive_count(archive); i++)
        if (strcmp(cnn_archive_name(archive, i), name) == 0) return i;
    return -1;
}

/* Can the member be what it says it is? */
static cnn_status check_member(const cnn_archive *archive, const zip_stat_t *info) {
    const char *path = archive->path, *name = info->name;
    if (info->encryption_method != ZIP_EM_NONE)
        return cnn_fail(CNN_ERROR_FORMAT, "%s: the member %.200s is encrypted", path, name);
    bool stored = info->comp_method == ZIP_CM_STORE;
    if (!stored && info->comp_method != ZIP_CM_DEFLATE)
        return cnn_fail(CNN_ERROR_FORMAT, "%s: the member %.200s is compressed by method %d, not deflate",
                        path, name, info->comp_method);
    if (stored ? info->size == info->comp_size : info->size / MAX_DEFLATE_RATIO <= info->comp_size)
        return CNN_OK;
    return cnn_fail(CNN_ERROR_FORMAT, "%s: the member %.200s is damaged: %llu bytes cannot become %llu", path,
                    name, (unsigned long long)info->comp_size, (unsigned long long)info->size);
}

/* Reads the member's size bytes and its end, where libzip compares the CRC-32. */
static cnn_status read_bytes(const cnn_archive *archive, zip_file_t *file, const zip_stat_t *info,
                             uint8_t *bytes) {
    zip_int64_t got = 1;
    uint64_t done = 0;
    uint8_t beyond;
    while (done < info->size && got > 0) {
        if (cnn_interrupted()) return cnn_fail(CNN_ERROR_INTERRUPTED, "%s: interrupted", archive->path);
        uint64_t rest = info->size - done;
        got = zip_fread(file, bytes + done, rest < CHUNK ? rest : CHUNK);
        if (got > 0) done += (uint64_t)got;
    }
    if (got > 0) got = zip_fread(file, &beyond, 1);
    if (got == 0 && done == info->size) return CNN_OK;
    if (got < 0)
        return fail_zip(zip_file_get_error(file), CNN_ERROR_FORMAT, (size_t)info->size,
                        "%.200s: the member %.200s is damaged", archive->path, info->name);
    return cnn_fail(CNN_ERROR_FORMAT, "%s: the member %.200s is %s than the %llu bytes it says",
                    archive->path, info->name, got > 0 ? "longer" : "shorter",
                    (unsigned long long)info->size);
}

cnn_status cnn_archive_read(void **bytes, size_t *size, cnn_archive *archive, int index) {
    zip_stat_t info;
    if (index < 0 || zip_stat_index(archive->zip, (zip_uint64_t)index, 0, &info) != 0)
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s has no member %d", archive->path, index);
    CNN_TRY(check_member(archive, &info));
    uint8_t *block = cnn_malloc((size_t)info.size + 1);
    if (!block) return cnn_fail_memory((size_t)info.size + 1);
    zip_file_t *file = zip_fopen_index(archive->zip, (zip_uint64_t)index, 0);
    cnn_status status = file ? read_bytes(archive, file, &info, block)
                             : fail_zip(zip_get_error(archive->zip), CNN_ERROR_FORMAT, (size_t)info.size,
                                        "%.200s: the member %.200s is damaged", archive->path, info.name);
    if (file) zip_fclose(file);
    if (status != CNN_OK) {
        cnn_free(block);
        return status;
    }
    block[info.size] = '\0';
    *bytes = block;
    *size = (size_t)info.size;
    return CNN_OK;
}
