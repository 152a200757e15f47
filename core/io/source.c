#include "io/source.h"
#include "base/status.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 1 << 24 }; /* read at once, between looks at the flag for interruption */

cnn_status cnn_source_open(cnn_source *source, const char *path) {
    /* O_NONBLOCK: opening a pipe must not wait for a writer; on files it means nothing. */
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) return cnn_fail(CNN_ERROR_IO, "cannot open %s: %s", path, strerror(errno));
    struct stat info;
    cnn_status status = CNN_OK;
    if (fstat(file, &info) != 0)
        status = cnn_fail(CNN_ERROR_IO, "cannot read %s: %s", path, strerror(errno));
    else if (!S_ISREG(info.st_mode))
        status = cnn_fail(CNN_ERROR_IO, "%s: expected a file, got a %s", path,
                          S_ISDIR(info.st_mode) ? "folder" : "device or pipe");
    if (status != CNN_OK) {
        close(file);
        return status;
    }
    *source = (cnn_source){.name = path, .file = file, .size = (uint64_t)info.st_size};
    return CNN_OK;
}

void cnn_source_close(cnn_source *source) {
    if (!source->bytes) close(source->file);
}

cnn_status cnn_source_read(const cnn_source *source, void *out, uint64_t from, size_t size) {
    if (from > source->size || size > source->size - from)
        return cnn_fail(CNN_ERROR_FORMAT, "%s is cut short: expected %llu bytes or more, got %llu",
                        source->name, (unsigned long long)from + size, (unsigned long long)source->size);
    if (source->bytes) {
        if (size > 0) memcpy(out, source->bytes + from, size);
        return CNN_OK;
    }
    for (size_t done = 0; done < size;) {
        if (cnn_interrupted()) return cnn_fail(CNN_ERROR_INTERRUPTED, "%s: interrupted", source->name);
        size_t rest = size - done;
        ssize_t got =
            pread(source->file, (uint8_t *)out + done, rest < CHUNK ? rest : CHUNK, (off_t)(from + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return cnn_fail(CNN_ERROR_IO, "cannot read %s: %s", source->name, strerror(errno));
        if (got == 0) return cnn_fail(CNN_ERROR_IO, "%s became shorter while it was read", source->name);
        done += (size_t)got;
    }
    return CNN_OK;
}
