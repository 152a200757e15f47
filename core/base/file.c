/* Atomic files by the book: O_EXCL temporary in the target's folder, fsync, rename, fsync of the folder.
 * The temporary is named .NAME.PID.NUMBER, so that a stray one left by a crash tells what it was. */
#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_LINKS = 40, MAX_TRIES = 1000, PERMISSIONS = 07777 };

/* Instead of an errno: a write to the stream failed some time before, and stdio forgot why. */
enum { EARLIER = -1 };

static cnn_status fail_write(const char *path, int error) {
    return cnn_fail(CNN_ERROR_IO, "cannot write %s: %s", path,
                    error == EARLIER ? "a part of it could not be written (is the disk full?)"
                                     : strerror(error));
}

/* The length of path's folder with its last slash; 0 when it has none. */
static size_t folder_length(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* Replaces *path, a symbolic link of `length` characters' content, by the path it leads to. */
static cnn_status follow(char **path, size_t length) {
    size_t folder = folder_length(*path);
    char *next = cnn_malloc(folder + length + 2);
    if (!next) return cnn_fail_memory(folder + length + 2);
    ssize_t got = readlink(*path, next + folder, length + 1);
    if (got < 0 || (size_t)got > length) { /* gone, or another one by now */
        int error = got < 0 ? errno : ELOOP;
        cnn_free(next);
        return fail_write(*path, error);
    }
    next[folder + (size_t)got] = '\0';
    if (next[folder] == '/')
        memmove(next, next + folder, (size_t)got + 1);
    else
        memcpy(next, *path, folder);
    cnn_free(*path);
    *path = next;
    return CNN_OK;
}

/* file->path becomes the name behind symbolic links; *found and *info tell what is there. */
static cnn_status resolve(cnn_file *file, const char *path, bool *found, struct stat *info) {
    if (!*path) return cnn_fail(CNN_ERROR_ARGUMENT, "the name of a file to write is empty");
    file->path = cnn_strdup(path);
    if (!file->path) return cnn_fail_memory(strlen(path) + 1);
    for (int links = 0;; links++) {
        *found = lstat(file->path, info) == 0;
        if (!*found) return errno == ENOENT ? CNN_OK : fail_write(path, errno);
        if (!S_ISLNK(info->st_mode)) return CNN_OK;
        if (links == MAX_LINKS) return fail_write(path, ELOOP);
        CNN_TRY(follow(&file->path, info->st_size > 0 ? (size_t)info->st_size : 4096));
    }
}

/* Creates file->temporary; *fd is open on it. O_CREAT's mode, not mkstemp's, lets the umask do its work. */
static cnn_status create_temporary(cnn_file *file, int *fd) {
    static atomic_uint number;
    size_t folder = folder_length(file->path), capacity = strlen(file->path) + 32;
    char *name = cnn_malloc(capacity);
    if (!name) return cnn_fail_memory(capacity);
    for (int tries = 0; tries < MAX_TRIES; tries++) {
        snprintf(name, capacity, "%.*s.%.200s.%ld.%u", (int)folder, file->path, file->path + folder,
                 (long)getpid(), atomic_fetch_add(&number, 1));
        *fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (*fd >= 0) {
            file->temporary = name;
            return CNN_OK;
        }
        if (errno != EEXIST) break;
    }
    int error = errno;
    cnn_free(name);
    return fail_write(file->path, error);
}

/* Gives the temporary the owner and mode of the file it will replace. Another's file stays another's where
 * that is allowed; where not, the writer owns it, as with any editor. */
static cnn_status take_over(cnn_file *file, int fd, bool found, const struct stat *old) {
    struct stat now;
    if (fstat(fd, &now) != 0) return fail_write(file->path, errno);
    file->mode = (found ? old->st_mode : now.st_mode) & PERMISSIONS;
    if (!found) return CNN_OK;
    if ((old->st_uid != now.st_uid || old->st_gid != now.st_gid) && fchown(fd, old->st_uid, old->st_gid) != 0)
        file->mode &= 0777u; /* set-id bits are the old owner's */
    return fchmod(fd, file->mode) == 0 ? CNN_OK : fail_write(file->path, errno);
}

static cnn_status open_beside(cnn_file *file, const char *path, int *fd) {
    struct stat old;
    bool found = stat(path, &old) == 0;
    if (found && S_ISDIR(old.st_mode)) return fail_write(path, EISDIR);
    if (found && faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) != 0) return fail_write(path, errno);
    if (found && !S_ISREG(old.st_mode)) {
        file->path = cnn_strdup(path);
        if (!file->path) return cnn_fail_memory(strlen(path) + 1);
        *fd = open(path, O_WRONLY | O_CLOEXEC);
        return *fd >= 0 ? CNN_OK : fail_write(path, errno);
    }
    CNN_TRY(resolve(file, path, &found, &old));
    CNN_TRY(create_temporary(file, fd));
    return take_over(file, *fd, found, &old);
}

static cnn_status prepare(cnn_file *file, const char *path, int *fd) {
    *file = (cnn_file){0};
    *fd = -1;
    cnn_status status = open_beside(file, path, fd);
    if (status == CNN_OK) return CNN_OK;
    if (*fd >= 0) close(*fd);
    cnn_file_abandon(file);
    return status;
}

cnn_status cnn_file_create(cnn_file *file, const char *path) {
    int fd;
    CNN_TRY(prepare(file, path, &fd));
    file->stream = fdopen(fd, "wb");
    if (file->stream) return CNN_OK;
    cnn_status status = fail_write(path, errno);
    close(fd);
    cnn_file_abandon(file);
    return status;
}

cnn_status cnn_file_reserve(cnn_file *file, const char *path) {
    int fd;
    CNN_TRY(prepare(file, path, &fd));
    close(fd);
    if (file->temporary) return CNN_OK;
    cnn_file_abandon(file);
    return cnn_fail(CNN_ERROR_IO, "cannot write %s: expected a regular file, got a device or pipe", path);
}

/* Pushes everything to the disk and closes; 0, an errno or EARLIER. Devices and pipes know no fsync. */
static int finish(cnn_file *file) {
    int error = 0, fd;
    if (file->stream) {
        if (fflush(file->stream) != 0) error = errno;
        if (!error && ferror(file->stream)) error = EARLIER;
        fd = fileno(file->stream);
    } else {
        fd = open(file->temporary, O_RDWR | O_CLOEXEC);
        if (fd < 0) return errno;
    }
    if (!error && file->temporary && fchmod(fd, file->mode) != 0) error = errno;
    if (!error && fsync(fd) != 0 && errno != EINVAL && errno != EROFS) error = errno;
    if ((file->stream ? fclose(file->stream) : close(fd)) != 0 && !error) error = errno;
    file->stream = NULL;
    return error;
}

/* The new name survives a power failure only once its folder is on disk too. Some file systems cannot do
 * that, and the file is whole in any case, so a failure is none of the caller's. */
static void sync_folder(char *path) {
    size_t length = folder_length(path);
    path[length] = '\0';
    int fd = open(length ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

cnn_status cnn_file_commit(cnn_file *file) {
    if (!file->path) return cnn_fail(CNN_ERROR_STATE, "no file is being written");
    cnn_status status = CNN_OK;
    int error = finish(file);
    if (!error && file->temporary && rename(file->temporary, file->path) != 0) error = errno;
    if (error) {
        status = fail_write(file->path, error);
    } else if (file->temporary) {
        cnn_free(file->temporary);
        file->temporary = NULL;
        sync_folder(file->path);
    }
    cnn_file_abandon(file);
    return status;
}

void cnn_file_abandon(cnn_file *file) {
    if (file->stream) fclose(file->stream);
    if (file->temporary) unlink(file->temporary);
    cnn_free(file->temporary);
    cnn_free(file->path);
    *file = (cnn_file){0};
}
