// What the pages remember, on the device or in the tab. Where there is no room for it, or no storage
// at all, it lasts as long as the page does, and nothing else fails.
function lasting(open) {
  const unkept = new Map();
  const attempt = (action) => {
    try {
      return action(open());
    } catch (error) {
      console.debug(error);
      return null;
    }
  };
  return {
    getItem: (key) => unkept.get(key) ?? attempt((storage) => storage.getItem(key)),
    setItem(key, value) {
      unkept.set(key, value);
      attempt((storage) => {
        storage.setItem(key, value);
        unkept.delete(key);
      });
    },
    removeItem(key) {
      unkept.delete(key);
      attempt((storage) => storage.removeItem(key));
    },
  };
}

export const device = lasting(() => localStorage);
export const tab = lasting(() => sessionStorage);
