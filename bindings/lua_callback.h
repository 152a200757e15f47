/* Callbacks on the Lua stack. */
#ifndef LUA_CALLBACK_H
#define LUA_CALLBACK_H

#include "lua_cnn.h"
#include "train/callback.h"

/* In the registry: prelude/live.lua's function that gives fit its callbacks at verbose = 3. */
#define LCNN_LIVE "cnn.live"

/* Pushes a userdata that anchors the callbacks of the list at index, or the one there, or none; fills *list, which lives
 * as long as that userdata, and returns how many. Tables become callbacks that call their functions on_epoch_end and the
 * like. model is the stack index of what they find in self.model. */
int lcnn_callbacks(lua_State *L, int index, int model, cnn_callback ***list);

/* lcnn_check after a run with these callbacks: an error that one of them raised is raised again as it was. */
void lcnn_check_run(lua_State *L, cnn_status status, cnn_callback *const *list, int count);

/* Pushes a userdata that owns a history, for fit to put one in. */
cnn_history **lcnn_new_history(lua_State *L);
/* Pushes what scripts see of the history in the userdata at index: {history = {loss = {…}, …}, epoch = {…}}. */
void lcnn_push_history(lua_State *L, int index);

#endif
