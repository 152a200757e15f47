#include "io/saving.h"
#include "base/memory.h"
#include "base/status.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

cnn_status cnn_save_freq_check(const char *who, const cJSON *save_freq) {
    if (cJSON_IsString(save_freq) && strcmp(save_freq->valuestring, "epoch") == 0) return CNN_OK;
    double batches = cJSON_IsNumber(save_freq) ? save_freq->valuedouble : 0;
    if (batches >= 1 && batches <= INT_MAX && batches == floor(batches)) return CNN_OK;
    return cnn_fail(CNN_ERROR_ARGUMENT, "%s: 'save_freq' must be \"epoch\" or a whole number of batches",
                    who);
}

int cnn_save_freq_batches(const cJSON *save_freq) {
    return cJSON_IsNumber(save_freq) ? (int)save_freq->valuedouble : 0;
}

static cnn_status make_one(const char *path) {
    struct stat info;
    if (mkdir(path, 0777) == 0) return CNN_OK;
    int error = errno; /* what mkdir says of a folder that is there depends on the file system */
    bool there = stat(path, &info) == 0;
    if (there && S_ISDIR(info.st_mode)) return CNN_OK;
    if (there) error = ENOTDIR;
    return cnn_fail(CNN_ERROR_IO, "cannot make the folder %s: %s", path, strerror(error));
}

/* Of the first `length` characters of path. */
static cnn_status make_folders(const char *path, size_t length) {
    char *part = cnn_strdup(path);
    if (!part) return cnn_fail_memory(strlen(path) + 1);
    part[length] = '\0';
    cnn_status status = CNN_OK;
    for (char *slash = strchr(part + 1, '/'); slash && status == CNN_OK; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (slash[-1] != '/') status = make_one(part);
        *slash = '/';
    }
    if (status == CNN_OK) status = make_one(part);
    cnn_free(part);
    return status;
}

cnn_status cnn_make_folder(const char *path) {
    return *path ? make_folders(path, strlen(path)) : CNN_OK;
}

cnn_status cnn_make_folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash && slash > path ? make_folders(path, (size_t)(slash - path)) : CNN_OK;
}
